-- Targets for wrk: one and the same, or (with a number of queries) one drawn from a Zipf distribution, s = 1.1.
local prefix, queries, seed = nil, 0, 1
local cumulated = {}
function init(args)
  prefix = args[1]
  queries = tonumber(args[2] or "0")
  seed = tonumber(args[3] or "1")
  math.randomseed(seed)
  local sum = 0
  for rank = 1, queries do
    sum = sum + 1 / rank ^ 1.1
    cumulated[rank] = sum
  end
end
local function drawn()
  local wanted, low, high = math.random() * cumulated[queries], 1, queries
  while low < high do
    local middle = math.floor((low + high) / 2)
    if cumulated[middle] < wanted then low = middle + 1 else high = middle end
  end
  return low
end
function request()
  if queries == 0 then return wrk.format("GET", prefix) end
  return wrk.format("GET", prefix .. drawn())
end
function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format('\n{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"bad":%d,"bytes":%d}\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.bytes))
end
