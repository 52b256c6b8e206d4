-- Replaces the reservation of a call by what the call used. A repeated call changes nothing, and
-- neither does one whose lease has ended. The cost is booked in the day and month of the
-- reservation.
--
-- KEYS  as in acquire.lua
-- ARGV  1 call   2 node   3 requests: 1, or 0 for a call that was not made   4 tokens   5 cost
local reserved = redis.call('HGET', KEYS[3], ARGV[1])
if not reserved then return 0 end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
local _, cost, day, month = string.match(reserved, '^(%d+):(%d+):(%d+):(%d+)$')
if tonumber(ARGV[3]) > 0 then
  local second = redis.call('TIME')[1]
  local used = redis.call('HGET', KEYS[1], second) or '0:0'
  local requests, tokens = string.match(used, '^(%d+):(%d+)$')
  used = string.format('%.0f:%.0f', requests + ARGV[3], tokens + ARGV[4])
  redis.call('HSET', KEYS[1], second, used)
end
-- Of zero "0": Redis rejects "-0".
local function negative(x) return string.format('%d', -tonumber(x)) end
local change = negative(tonumber(cost) - tonumber(ARGV[5]))
for i = 5, 8 do
  local period = (i % 2 == 1) and day or month
  if redis.call('HGET', KEYS[i], 'p') == period then
    redis.call('HINCRBY', KEYS[i], 't', change)
    redis.call('HINCRBY', KEYS[i], 'o:' .. ARGV[2], change)
    redis.call('HINCRBY', KEYS[i], 'r', negative(cost))
  end
end
return 1
