-- SPDX-License-Identifier: BSD-2-Clause
-- Work for a just-in-time compiler: traces are recorded, compiled, left, thrown away. Each line ends with a figure that
-- depends on every step; the same everywhere. Argument: how much (1).
local bit, ffi = require "bit", require "ffi"
local jit_on, scale = jit.status(), tonumber(arg and arg[1]) or 1
local function row(name, f, n)
    local start = os.clock()
    print(name, f(math.floor(n * scale)))
    io.stderr:write(string.format("%s %.2f s\n", name, os.clock() - start))
end
assert(jit_on)

row("mandelbrot", function(n)
    local sum = 0
    for y = 0, n - 1 do
        for x = 0, n - 1 do
            local cr, ci, zr, zi, k = 2 * x / n - 1.5, 2 * y / n - 1, 0, 0, 0
            while k < 50 and zr * zr + zi * zi < 4 do
                zr, zi, k = zr * zr - zi * zi + cr, 2 * zr * zi + ci, k + 1
            end
            sum = sum + k
        end
    end
    return sum
end, 200)

row("nbody", function(n)
    local b = {}
    for i = 1, 5 do b[i] = { x = i, y = i * i / 3, z = 1 / i, vx = 0, vy = 0.1 * i, vz = 0, m = 1 / i } end
    for _ = 1, n do
        for i = 1, 5 do
            local p = b[i]
            for j = i + 1, 5 do
                local q = b[j]
                local dx, dy, dz = p.x - q.x, p.y - q.y, p.z - q.z
                local d2 = dx * dx + dy * dy + dz * dz
                local mag = 0.001 / (d2 * math.sqrt(d2))
                p.vx, p.vy, p.vz = p.vx - dx * q.m * mag, p.vy - dy * q.m * mag, p.vz - dz * q.m * mag
                q.vx, q.vy, q.vz = q.vx + dx * p.m * mag, q.vy + dy * p.m * mag, q.vz + dz * p.m * mag
            end
        end
        for i = 1, 5 do
            local p = b[i]
            p.x, p.y, p.z = p.x + 0.001 * p.vx, p.y + 0.001 * p.vy, p.z + 0.001 * p.vz
        end
    end
    return string.format("%.17g %.17g %.17g", b[1].x, b[3].y, b[5].vz)
end, 40000)

row("sieve", function(n)
    local flags, count = ffi.new("uint8_t[?]", n + 1), 0
    for i = 2, n do
        if flags[i] == 0 then
            count = count + 1
            for k = i * 2, n, i do flags[k] = 1 end
        end
    end
    return count
end, 1000000)

row("hash", function(n)
    local h = 0x811c9dc5
    for i = 1, n do h = bit.bxor(bit.rol(h, 5) + i, bit.rshift(h, 3), bit.lshift(i, i % 31)) end
    return bit.tohex(h)
end, 3000000)

row("int64", function(n)
    local x = ffi.new("uint64_t", 88172645463325252ULL)
    for _ = 1, n do
        x = bit.bxor(x, bit.lshift(x, 13))
        x = bit.bxor(x, bit.rshift(x, 7))
        x = bit.bxor(x, bit.lshift(x, 17))
    end
    return tostring(x)
end, 2000000)

row("strings", function(n)
    local t, sum = {}, 0
    for i = 1, n do
        local s = ("%d:%x"):format(i, i * 2654435761 % 2 ^ 32)
        t[#t + 1] = s:upper():reverse():gsub("A", "bc")
        if #t == 100 then
            sum = (sum * 31 + #table.concat(t, ",")) % 1000003
            t = {}
        end
    end
    return sum
end, 60000)

row("sort", function(n)
    local t, x = {}, 12345
    for i = 1, n do
        x = (x * 1103515245 + 12345) % 2147483648
        t[i] = x
    end
    table.sort(t, function(a, b) return a % 65536 < b % 65536 or a % 65536 == b % 65536 and a < b end)
    return t[1] .. " " .. t[math.floor(n / 2)] .. " " .. t[n]
end, 40000)

row("coroutines", function(n)
    local sum, gen = 0, coroutine.wrap(function()
        for i = 1, n do coroutine.yield(i) end
    end)
    for _ = 1, n do sum = (sum * 3 + gen()) % 1000003 end
    return sum
end, 200000)

-- New functions all the time: the compiler's own code and its output change places.
row("closures", function(n)
    local sum = 0
    for i = 1, n do
        local f = assert(loadstring(("local a = ... for k = 1, 100 do a = (a * %d + k) %% %d end return a"):format(i % 17 + 2, 9973 + i)))
        sum = (sum + f(i)) % 1000003
        if i % 50 == 0 then jit.flush() end
    end
    return sum
end, 1500)

ffi.cdef "int abs(int); void qsort(void *, size_t, size_t, int (*)(const int *, const int *));"
row("callbacks", function(n) -- C calls Lua calls C
    local a, x = ffi.new("int[?]", n), 1
    for i = 0, n - 1 do
        x = (x * 16807) % 2147483647
        a[i] = x % 1000000
    end
    local compare = ffi.cast("int (*)(const int *, const int *)", function(p, q) return p[0] - q[0] end)
    ffi.C.qsort(a, n, 4, compare)
    compare:free()
    local bad = 0
    for i = 1, n - 1 do bad = bad + (a[i - 1] > a[i] and 1 or 0) end
    return bad .. " " .. a[0] .. " " .. a[n - 1]
end, 20000)
