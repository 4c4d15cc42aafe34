-- What wrk sends and says. Arguments: the first number of the query `?n=`, or `-` for the same request always; how many
-- milliseconds a connection pauses before each request, between half and one and a half of it; then a method and the bytes of
-- a body, if it has one. Says one line of JSON at the end.
local first, pause, method, bytes

function init(args)
  first = tonumber(args[1])
  pause = tonumber(args[2])
  method, bytes = args[3], tonumber(args[4] or "0")
  if pause > 0 then
    delay = function()
      return math.random(math.ceil(pause / 2), math.floor(pause * 3 / 2))
    end
  end
  if method then
    wrk.method = method
    wrk.body = bytes > 0 and string.rep("x", bytes) or nil
  end
  if first then
    -- A request is put together once: only its number changes.
    local mark = "?n=@"
    local whole = wrk.format(nil, wrk.path .. mark)
    local at = string.find(whole, mark, 1, true)
    local head, tail = string.sub(whole, 1, at + 2), string.sub(whole, at + #mark)
    local number = first
    request = function()
      number = number + 1
      return head .. number .. tail
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'said {"requests":%d,"secs":%f,"bytes":%d,"p50_us":%f,"p99_us":%f,"refused":%d,"broken":%d,"late":%d,"not_2xx":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read + errors.write, errors.timeout, errors.status))
end
