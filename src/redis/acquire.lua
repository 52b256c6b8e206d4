-- Reserves one call at a provider, or says why it is not possible. A repeated call reserves once.
--
-- KEYS  1 window: hash, second -> "requests:tokens" of ended calls
--       2 in flight: sorted set, call -> end of its lease in ms
--       3 calls: hash, call -> "tokens:cost:day:month"
--       4 nodes: sorted set, node -> time of its last contact in ms
--       5..8 accounts: hashes of the provider's day and month, and of all providers' day and month
-- ARGV  1 call   2 node   3 lease in ms   4 most calls in flight   5 requests per minute
--       6 tokens per minute   7 tokens of this call   8 most cost of this call
--       9 configured number of nodes
--       10..25 for each account: limit (-1: none), the node's period, the amount the node itself
--              has spent in it, and the total the node knows of
-- Of a rate limit, 0 means none. Amounts are whole numbers below 2^53.
local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second * 1000 + math.floor(tonumber(time[2]) / 1000)
local call, node = ARGV[1], ARGV[2]
local function number(i) return tonumber(ARGV[i]) end
local function text(x) return string.format('%.0f', x) end
-- Of zero "0": Redis rejects "-0". The text of `-x` may have an exponent, which it rejects too.
local function negative(x) return string.format('%d', -tonumber(x)) end

local function table_of(key)
  local flat, map = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

redis.call('ZADD', KEYS[4], now, node)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - 25 * 3600 * 1000)
local nodes = math.max(number(9), redis.call('ZCARD', KEYS[4]))

-- Days and months since 1970. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
local day = math.floor(second / 86400)
local z = day + 719468
local era = math.floor(z / 146097)
local doe = z - era * 146097
local leap_days = math.floor(doe / 1460) - math.floor(doe / 36524) + math.floor(doe / 146096)
local yoe = math.floor((doe - leap_days) / 365)
local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
local mp = math.floor((5 * doy + 2) / 153)
local month = (yoe + era * 400 - 1970) * 12 + mp + 2

local function reply(granted, why, wait, accounts)
  local all = { granted, why, wait, nodes, day, month }
  for i = 1, 4 do
    local account = accounts[i] or { mine = 0, total = 0, reserved = 0 }
    all[#all + 1] = account.mine
    all[#all + 1] = math.max(0, account.total - account.reserved)
  end
  return all
end

if redis.call('HEXISTS', KEYS[3], call) == 1 then return reply(1, 'again', 0, {}) end

-- Calls whose node died: their requests and tokens count from now on, and what was reserved of the
-- spend stays spent.
local window = table_of(KEYS[1])
local function add_to_window(requests, tokens)
  local had_requests, had_tokens = string.match(window[text(second)] or '0:0', '^(%d+):(%d+)$')
  local value = text(had_requests + requests) .. ':' .. text(had_tokens + tokens)
  window[text(second)] = value
  redis.call('HSET', KEYS[1], text(second), value)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  local reserved = redis.call('HGET', KEYS[3], id) or ''
  local tokens, cost, of_day, of_month = string.match(reserved, '^(%d+):(%d+):(%d+):(%d+)$')
  add_to_window(1, tonumber(tokens or 0))
  for i = 5, 8 do
    local period = (i % 2 == 1) and of_day or of_month
    if period and redis.call('HGET', KEYS[i], 'p') == period then
      redis.call('HINCRBY', KEYS[i], 'r', negative(cost))
    end
  end
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end

local in_flight = redis.call('ZCARD', KEYS[2])
if in_flight >= number(4) then return reply(0, 'busy', 100, {}) end

-- The exact window of a minute, with ended calls by the second. A second in the future is of a
-- clock that was set back.
local requests, tokens, seconds = in_flight, 0, {}
for at, value in pairs(window) do
  local s = tonumber(at)
  if s + 61 <= second or s > second then
    redis.call('HDEL', KEYS[1], at)
  else
    local r, t = string.match(value, '^(%d+):(%d+)$')
    seconds[#seconds + 1] = { at = s, requests = tonumber(r), tokens = tonumber(t) }
    requests, tokens = requests + r, tokens + t
  end
end
local reserved_tokens = 0
for _, reserved in ipairs(redis.call('HVALS', KEYS[3])) do
  reserved_tokens = reserved_tokens + tonumber(string.match(reserved, '^(%d+)'))
end
table.sort(seconds, function(a, b) return a.at < b.at end)
local function wait_for(limit, wanted, used, reserved, what)
  -- A call larger than the whole limit passes when nothing else was used; otherwise it never would.
  local room = math.max(0, limit - wanted)
  local held = used + reserved
  if limit == 0 or held <= room then return 0 end
  -- Calls in flight use fewer tokens than they reserved, so their end may be enough.
  if what == 'tokens' and used <= room then return 1000 end
  for _, s in ipairs(seconds) do
    held = held - s[what]
    if held <= room then return math.max(1, (s.at + 61) * 1000 - now) end
  end
  return 1000
end
local for_request = wait_for(number(5), 1, requests, 0, 'requests')
local for_tokens = wait_for(number(6), number(7), tokens, reserved_tokens, 'tokens')
local wait = math.max(for_request, for_tokens)
if wait > 0 then return reply(0, 'minute', wait, {}) end

-- An account counts the total `t`, the part of it reserved for calls in flight `r`, and the spend of
-- each node `o:`. The total survives a node that did not report again after Redis lost its data. A
-- quarter of each node's even share is kept for that node, which may spend it without Redis.
local cost = number(8)
local function account(i)
  local key, first = KEYS[4 + i], 6 + 4 * i
  local period = (i % 2 == 1) and day or month
  local kept = table_of(key)
  local stored = tonumber(kept.p or -1)
  if stored < period then
    redis.call('DEL', key)
    kept = {}
  end
  if stored ~= period then redis.call('HSET', key, 'p', text(period)) end
  local mine, sum, others = 0, 0, {}
  for field, value in pairs(kept) do
    if string.sub(field, 1, 2) == 'o:' then
      local amount = tonumber(value)
      sum = sum + amount
      if field == 'o:' .. node then mine = amount else others[#others + 1] = amount end
    end
  end
  local known = 0
  if number(first + 1) == period then
    known = number(first + 3)
    local own = number(first + 2)
    if own > mine then
      sum = sum + own - mine
      mine = own
    end
  end
  local total = math.max(tonumber(kept.t or 0), sum, known)
  local limit, kept_back = number(first), 0
  if limit >= 0 then
    local count = math.max(nodes, #others + 1)
    local share = math.floor(limit / (4 * count))
    for _, amount in ipairs(others) do kept_back = kept_back + math.max(0, share - amount) end
    kept_back = kept_back + (count - 1 - #others) * share
  end
  local reserved = tonumber(kept.r or 0)
  local function within(sum) return cost == 0 or limit < 0 or sum + kept_back + cost <= limit end
  -- What calls in flight reserved is more than they will use.
  local fits_later = within(math.max(0, total - reserved))
  local a = { key = key, mine = mine, total = total, reserved = reserved }
  a.fits, a.fits_later = within(total), fits_later
  return a
end
local accounts = { account(1), account(2), account(3), account(4) }
local function all_accounts(what)
  return accounts[1][what] and accounts[2][what] and accounts[3][what] and accounts[4][what]
end
if not (accounts[2].fits_later and accounts[4].fits_later) then
  return reply(0, 'month_spend', 0, accounts)
end
if not (accounts[1].fits_later and accounts[3].fits_later) then
  return reply(0, 'day_spend', 0, accounts)
end
if not all_accounts('fits') then return reply(0, 'reserved_spend', 250, accounts) end

for _, a in ipairs(accounts) do
  redis.call('HSET', a.key, 't', text(a.total + cost), 'o:' .. node, text(a.mine + cost))
  redis.call('HINCRBY', a.key, 'r', text(cost))
end
local reserved = ARGV[7] .. ':' .. text(cost) .. ':' .. text(day) .. ':' .. text(month)
redis.call('HSET', KEYS[3], call, reserved)
redis.call('ZADD', KEYS[2], now + number(3), call)
return reply(1, 'ok', 0, accounts)
