# boto3 as an agent uses it: clients without a word about credentials. Operations come as JSON in the first
# argument; one line of JSON says what became of each.
import functools
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError



@functools.cache
def client(service):
    return boto3.client(service, config=Config(retries={"total_max_attempts": 1}))


def list_objects(bucket):
    return [one["Key"] for one in client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def put(bucket, key, text):
    client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())


def get(bucket, key):
    return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def item(table, id):
    found = client("dynamodb").get_item(TableName=table, Key={"id": {"S": id}})
    return found.get("Item", {}).get("text", {}).get("S")


operations = {"list": list_objects, "put": put, "get": get, "item": item}
results = []
for name, *args in json.loads(sys.argv[1]):
    try:
        results.append({"ok": True, "value": operations[name](*args)})
    except ClientError as error:
        results.append({"ok": False, "code": error.response["Error"]["Code"], "message": str(error)})
    except BotoCoreError as error:
        results.append({"ok": False, "code": type(error).__name__, "message": str(error)})
print(json.dumps(results))
