-- Looks up a draft, and where there is none claims the request for it, in one round trip.
-- KEYS 1 draft   2 claim   ARGV 1 node   2 lifetime of the claim in ms   3 the last byte that is read
-- Returns the draft, 1 for a claim, or 0 where another node has it.
local draft = redis.call('GETRANGE', KEYS[1], 0, ARGV[3])
if #draft > 0 then return draft end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
