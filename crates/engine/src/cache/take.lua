-- Takes tokens from one bucket by the server's own clock: what bongsu_domain::Bucket does, in one step.
-- KEYS: the bucket. ARGV: tokens a second, tokens it holds, tokens asked for.
-- Answers whether they were given (1 or 0), and the level after it.
-- A level is counted in millionths of a token and may be negative (a debt). Limits and costs have 32 bits, so every
-- number below that decides anything stays under 2^53 and is exact.
local rate, full, cost = tonumber(ARGV[1]), ARGV[2] * 1000000, ARGV[3] * 1000000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local level, filled = full, now
local held = redis.call('GET', KEYS[1])
if held then
  local was, at = string.match(held, '^(-?%d+) (%d+)$')
  if was then
    filled = tonumber(at)
    level = math.min(full, tonumber(was) + math.max(0, now - filled) * rate)
  end
end
local given = 0
if level >= math.min(cost, full) then
  given = 1
  level = level - cost
end
-- Asking in vain changes nothing, except that a clock set back must not stop the bucket from filling.
if level < full and (given == 1 or now < filled) then
  -- A full bucket is the same as none, so it may go when it is full, and not a moment before.
  local lifetime = math.floor((full - level) / rate / 1000) + 1
  redis.call('SET', KEYS[1], string.format('%.0f %.0f', level, now), 'PX', string.format('%.0f', lifetime))
end
return {given, level}
