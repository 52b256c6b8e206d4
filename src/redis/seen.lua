-- Notes that a node is there. Returns the number of nodes of the last 25 hours: one that is away
-- may spend its share.
-- KEYS 1 nodes   ARGV 1 node
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 25 * 3600 * 1000)
return redis.call('ZCARD', KEYS[1])
