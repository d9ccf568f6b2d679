// Loaded into a broker whose memory is looked at: collects when it is told to, and says what is left.
process.on('message', () => {
  globalThis.gc?.()
  process.send?.({ heapMiB: process.memoryUsage().heapUsed / 2 ** 20 })
})
// The channel alone keeps no process alive.
process.channel?.unref()
