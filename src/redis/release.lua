-- Ends the claim of a node on a request. The claim of another node stays.
-- KEYS 1 claim   ARGV 1 node
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
