// The routes outside administration, as data (design/api.md).
import type { Operation, Parameter, Refusal } from './operation.ts'
import { ANY_OBJECT, json, listOf, object, ref, STRING } from './operation.ts'

const FORM = 'application/x-www-form-urlencoded'
const TARGET: Parameter = {
  name: 'target',
  in: 'path',
  required: true,
  description: 'Name of the target.',
}
const GATEWAY_REFUSALS: readonly Refusal[] = [400, 401, 403, 404, 413, 429, 502, 503, 504]

const gateway = (['get', 'put', 'post', 'patch', 'delete'] as const).map((method): Operation => ({
  id: `gateway-${method}`,
  method,
  path: '/t/{target}/{path}',
  tag: 'Gateway',
  summary: 'Forward to a target, with its credential injected',
  needs: 'handle',
  parameters: [
    TARGET,
    {
      name: 'path',
      in: 'path',
      required: true,
      description: 'Path below base_url; may hold slashes.',
    },
    {
      name: 'Sallyport-Action-Origin',
      in: 'header',
      description: 'Why this one action happens.',
      schema: { type: 'string', enum: ['user', 'task', 'agent'] },
    },
    { name: 'Sallyport-Action-Ref', in: 'header', description: 'What it belongs to.' },
  ],
  ...(method === 'get' ? {} : { request: { mediaType: '*/*', schema: {}, optional: true } }),
  success: { default: { description: 'The answer of the target, masked.' } },
  refusals: GATEWAY_REFUSALS,
}))

export const BROKER_OPERATIONS: readonly Operation[] = [
  {
    id: 'token-exchange',
    method: 'post',
    path: '/token-exchange',
    tag: 'Exchange',
    summary: 'Exchange an attestation for a session handle, or a credential (RFC 8693, RFC 7523)',
    needs: null,
    parameters: [
      {
        name: 'DPoP',
        in: 'header',
        description: 'A proof (RFC 9449); the handle is then bound to its key.',
      },
    ],
    request: { mediaType: FORM, schema: ref('TokenExchangeRequest') },
    success: { 200: json('What was granted.', ref('TokenExchangeAnswer')) },
    refusals: [400, 401, 413, 429, 503],
    oauth: true,
  },
  {
    id: 'introspect',
    method: 'post',
    path: '/introspect',
    tag: 'Exchange',
    summary: 'Describe a handle (RFC 7662); with the handle itself, or role viewer',
    needs: 'handle',
    request: { mediaType: FORM, schema: ref('TokenRequest') },
    success: { 200: json('What the handle stands for.', ref('Introspection')) },
    refusals: [400, 401, 413, 503],
    oauth: true,
  },
  {
    id: 'revoke',
    method: 'post',
    path: '/revoke',
    tag: 'Exchange',
    summary:
      'End the session of a handle or handed-over credential (RFC 7009); holding it suffices',
    needs: null,
    request: { mediaType: FORM, schema: ref('TokenRequest') },
    success: {
      200: json('The session is ended, or there was none: then it is empty.', ref('Revocation')),
    },
    refusals: [400, 413, 429, 503],
    oauth: true,
  },
  {
    id: 'security-event',
    method: 'post',
    path: '/events',
    tag: 'Exchange',
    summary: 'Deliver a security event token (RFC 8935); 202 whether or not it was about anybody',
    needs: null,
    request: {
      mediaType: 'application/secevent+jwt',
      schema: { type: 'string', maxLength: 16_384 },
    },
    success: {
      202: { description: 'It was taken, now or before.' },
      400: json('It was not taken (RFC 8935 §2.4).', object({ err: STRING, description: STRING })),
    },
    refusals: [413, 415, 429, 503],
  },
  {
    id: 'aws-credentials',
    method: 'get',
    path: '/t/{target}/credentials',
    tag: 'Gateway',
    summary: 'An AWS container-credentials endpoint, of a target that hands over AWS credentials',
    needs: null,
    parameters: [
      TARGET,
      {
        name: 'Authorization',
        in: 'header',
        required: true,
        description: 'An attestation or a handle, with or without a scheme.',
      },
      { name: 'purpose', in: 'query', description: 'What it is for; not with a handle.' },
      { name: 'scope', in: 'query', description: 'As for the exchange; not with a handle.' },
      { name: 'auth_method', in: 'query', description: 'Of an opaque token.' },
    ],
    success: { 200: json('The credential, as the AWS SDKs read it.', ref('AwsCredentials')) },
    refusals: GATEWAY_REFUSALS,
  },
  ...gateway,
  {
    id: 'evaluate',
    method: 'post',
    path: '/access/v1/evaluation',
    tag: 'Intent',
    summary: 'Judge one action (OpenID AuthZEN 1.0)',
    needs: 'evaluator',
    request: { mediaType: 'application/json', schema: ref('Evaluation') },
    success: { 200: json('The decision and how it was made.', ref('EvaluationAnswer')) },
    refusals: [400, 401, 403, 413, 415, 503],
  },
  document('authorization-server-metadata', '/.well-known/oauth-authorization-server', 'RFC 8414'),
  {
    ...document('jwks', '/.well-known/jwks.json', 'Public keys that handles verify with'),
    success: { 200: json('A JWK Set.', object({ keys: listOf(ANY_OBJECT) })) },
  },
  document(
    'federation-configuration',
    '/federation/.well-known/openid-configuration',
    'OpenID configuration of what is signed for other systems',
  ),
  {
    ...document(
      'federation-jwks',
      '/federation/.well-known/jwks.json',
      'Public keys of the federation issuer; no handle verifies with them',
    ),
    success: { 200: json('A JWK Set.', object({ keys: listOf(ANY_OBJECT) })) },
  },
  {
    ...document(
      'protected-resource-metadata',
      '/.well-known/oauth-protected-resource/t/{target}',
      'RFC 9728, of one target',
    ),
    parameters: [TARGET],
    refusals: [404],
  },
  {
    ...document('healthz', '/healthz', 'Whether the process lives'),
    tag: 'Operation',
    success: { 200: json('It does.', object({ status: STRING })) },
    refusals: [],
  },
  {
    ...document('readyz', '/readyz', 'Whether store and keys are usable'),
    tag: 'Operation',
    success: { 200: json('They are.', ANY_OBJECT) },
  },
  { ...document('openapi', '/openapi.json', 'This document'), tag: 'Operation', refusals: [] },
]

function document(id: string, path: string, summary: string): Operation {
  return {
    id,
    method: 'get',
    path,
    tag: 'Discovery',
    summary,
    needs: null,
    success: { 200: json('The document.', ANY_OBJECT) },
    refusals: [503],
  }
}
