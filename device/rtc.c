/* SPDX-License-Identifier: BSD-2-Clause */
/* MC146818A real-time clock after Motorola's data sheet (1984), with the PC's use of its RAM. Time
 * of day is UTC from the host, plus what the guest set. */
#include "device/rtc.h"

#include "lib/state.h"

enum port { PORT_INDEX = 0, PORT_DATA = 1 };
enum reg {
    SECONDS = 0,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    CENTURY = 0x32,
};
enum cmos {
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_KB = 0x15,
    CMOS_EXT_KB = 0x17,
    CMOS_EXT_KB_2 = 0x30,
    CMOS_ABOVE_16M = 0x34, /* in 64 KiB */
    CMOS_ABOVE_4G = 0x5b,  /* in 64 KiB, 3 bytes */
};

#define A_UIP   BIT(7)
#define A_RATE  BITS(3, 0)
#define A_RESET BITS(6, 5) /* both: divider held in reset */
#define A_32KHZ 0x20

#define B_SET BIT(7)
#define B_PIE BIT(6)
#define B_AIE BIT(5)
#define B_UIE BIT(4)
#define B_DM  BIT(2)
#define B_24  BIT(1)

#define C_IRQF BIT(7)
#define C_PF   BIT(6)
#define C_AF   BIT(5)
#define C_UF   BIT(4)

#define D_VRT BIT(7)

#define NMI_BIT   BIT(7)
#define NS        1000000000ull
#define UPDATE_NS 2228000ull /* 244 us of warning and 1984 us of update cycle */

static uint64_t now_ns(const struct rtc *r) { return r->clock->now_ns(r->clock->ctx); }

static bool stopped(const struct rtc *r)
{
    return (r->s.ram[REG_B] & B_SET) || (r->s.ram[REG_A] & A_RESET) == A_RESET;
}

/* ---- calendar: days since 1970-01-01 and back, proleptic Gregorian ---- */

struct date {
    int64_t year;
    unsigned month, day; /* from 1 */
};

static int64_t days_of(int64_t year, unsigned month, int64_t day)
{
    /* Years begin in March, so that the leap day is the last. 400 years are 146097 days. */
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct date date_of(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (unsigned)((5 * doy + 2) / 153);
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    return (struct date){ .year = era * 400 + yoe + (month <= 2),
                          .month = month,
                          .day = (unsigned)(doy - (153 * mp + 2) / 5 + 1) };
}

/* ---- register formats ---- */

static uint8_t to_bcd(unsigned v) { return (uint8_t)(v / 10 << 4 | v % 10); }
static unsigned from_bcd(uint8_t v) { return (v >> 4) * 10u + (v & 15); }

static uint8_t encode(const struct rtc *r, unsigned v)
{
    return r->s.ram[REG_B] & B_DM ? (uint8_t)v : to_bcd(v);
}

static unsigned decode(const struct rtc *r, uint8_t v)
{
    return r->s.ram[REG_B] & B_DM ? v : from_bcd(v);
}

static uint8_t encode_hour(const struct rtc *r, unsigned h)
{
    if (r->s.ram[REG_B] & B_24)
        return encode(r, h);
    return encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0);
}

static unsigned decode_hour(const struct rtc *r, uint8_t v)
{
    if (r->s.ram[REG_B] & B_24)
        return decode(r, v);
    return decode(r, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* ---- time of day ---- */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int64_t seconds_at(const struct rtc *r, uint64_t ns)
{
    return r->s.base_seconds + (int64_t)((ns - r->s.base_ns) / NS);
}

static void store_time(struct rtc *r, int64_t t)
{
    uint8_t *ram = r->s.ram;
    int64_t days = floor_div(t, 86400);
    unsigned sec = (unsigned)(t - days * 86400);
    struct date d = date_of(days);
    ram[SECONDS] = encode(r, sec % 60);
    ram[MINUTES] = encode(r, sec / 60 % 60);
    ram[HOURS] = encode_hour(r, sec / 3600);
    ram[WEEKDAY] = encode(r, (unsigned)(days + 4 - floor_div(days + 4, 7) * 7) + 1);
    ram[DAY] = encode(r, d.day);
    ram[MONTH] = encode(r, d.month);
    ram[YEAR] = encode(r, (unsigned)(d.year % 100));
    ram[CENTURY] = to_bcd((unsigned)(d.year / 100 % 100));
}

/* Any bytes the guest may have written give some time. */
static int64_t load_time(const struct rtc *r)
{
    const uint8_t *ram = r->s.ram;
    unsigned month = decode(r, ram[MONTH]);
    int64_t year = from_bcd(ram[CENTURY]) * 100 + decode(r, ram[YEAR]);
    int64_t days = days_of(year, month >= 1 && month <= 12 ? month : 1, decode(r, ram[DAY]));
    return days * 86400 + decode_hour(r, ram[HOURS]) * 3600 + decode(r, ram[MINUTES]) * 60 +
           decode(r, ram[SECONDS]);
}

/* The host's clock may step or sleep: follow it, but keep the fraction of the running second. */
static void follow_host(struct rtc *r, uint64_t now)
{
    int64_t should = r->clock->wall_seconds(r->clock->ctx) + r->s.offset;
    int64_t off = should - seconds_at(r, now);
    if (off > 1 || off < -1)
        r->s.base_seconds += off;
}

/* The time registers hold what the guest wrote (or read last): make it the time. */
static void set_time(struct rtc *r, uint64_t now)
{
    int64_t t = load_time(r);
    uint64_t phase = (now - r->s.base_ns) % NS;
    r->s.base_seconds = t;
    r->s.base_ns = now - phase;
    r->s.offset = t - r->clock->wall_seconds(r->clock->ctx);
    if (r->s.synced_ns < r->s.base_ns)
        r->s.synced_ns = r->s.base_ns;
}

static bool alarm_matches(const struct rtc *r, int64_t t)
{
    unsigned sec = (unsigned)(t - floor_div(t, 86400) * 86400);
    const uint8_t want[] = { r->s.ram[SECONDS_ALARM], r->s.ram[MINUTES_ALARM],
                             r->s.ram[HOURS_ALARM] };
    const uint8_t is[] = { encode(r, sec % 60), encode(r, sec / 60 % 60),
                           encode_hour(r, sec / 3600) };
    for (unsigned i = 0; i < ARRAY_LEN(is); i++)
        if ((want[i] & 0xc0) != 0xc0 && want[i] != is[i])
            return false;
    return true;
}

/* Length of the periodic interrupt's period; 0: off. */
static uint64_t period_ns(const struct rtc *r)
{
    unsigned rate = r->s.ram[REG_A] & A_RATE;
    if (!rate || (r->s.ram[REG_A] & A_RESET) == A_RESET)
        return 0;
    if (rate <= 2)
        rate += 7;
    return (NS << (rate - 1)) / 32768;
}

static int irq_level(const struct rtc *r)
{
    return (r->s.ram[REG_B] & r->s.ram[REG_C] & (C_PF | C_AF | C_UF)) != 0;
}

static void set_timer(struct rtc *r, uint64_t now)
{
    uint8_t b = r->s.ram[REG_B], c = r->s.ram[REG_C], waits = b & ~c;
    uint64_t next = UINT64_MAX, period = period_ns(r);
    if ((waits & B_PIE) && period)
        next = (now - r->s.base_ns) / period * period + period + r->s.base_ns;
    if ((waits & (B_UIE | B_AIE)) && !stopped(r)) {
        uint64_t second = (now - r->s.base_ns) / NS * NS + NS + r->s.base_ns;
        next = MIN(next, second);
    }
    if (r->timer.set)
        r->timer.set(&r->timer, next);
}

/* Brings register C up to date: what would have happened since synced_ns. */
static void sync(struct rtc *r, uint64_t now)
{
    uint64_t last = r->s.synced_ns, period = period_ns(r);
    if (now > last) {
        uint64_t from = last - r->s.base_ns, to = now - r->s.base_ns;
        if (period && to / period != from / period)
            r->s.ram[REG_C] |= C_PF;
        if (!stopped(r) && to / NS != from / NS) {
            int64_t t = r->s.base_seconds + (int64_t)(from / NS);
            int64_t end = r->s.base_seconds + (int64_t)(to / NS);
            r->s.ram[REG_C] |= C_UF;
            if (end - t > 86400) /* a day has every time of day */
                t = end - 86400;
            while (!(r->s.ram[REG_C] & C_AF) && ++t <= end)
                if (alarm_matches(r, t))
                    r->s.ram[REG_C] |= C_AF;
        }
        r->s.synced_ns = now;
    }
}

static void update(struct rtc *r, uint64_t now)
{
    int level = irq_level(r);
    r->s.ram[REG_C] = (uint8_t)((r->s.ram[REG_C] & ~C_IRQF) | (level ? C_IRQF : 0));
    set_timer(r, now);
    irq_set(&r->irq, level);
}

static void fire(void *arg)
{
    struct rtc *r = arg;
    uint64_t now = now_ns(r);
    sync(r, now);
    update(r, now);
}

static bool is_time(unsigned i)
{
    return i == CENTURY ||
           (i <= YEAR && i != SECONDS_ALARM && i != MINUTES_ALARM && i != HOURS_ALARM);
}

static uint8_t read_ram(struct rtc *r, unsigned i, uint64_t now)
{
    uint8_t val;
    if (is_time(i) && !stopped(r)) {
        follow_host(r, now);
        store_time(r, seconds_at(r, now));
    }
    val = r->s.ram[i];
    if (i == REG_A && !stopped(r) && (now - r->s.base_ns) % NS >= NS - UPDATE_NS)
        val |= A_UIP;
    if (i == REG_C)
        r->s.ram[REG_C] = 0;
    return val;
}

static void write_ram(struct rtc *r, unsigned i, uint8_t val, uint64_t now)
{
    bool was_stopped = stopped(r);
    if (!was_stopped && (is_time(i) || i == REG_A || i == REG_B)) {
        follow_host(r, now);
        store_time(r, seconds_at(r, now));
    }
    switch (i) {
    case REG_A: r->s.ram[REG_A] = val & (uint8_t)~A_UIP; break;
    case REG_B:
        if (val & B_SET)
            val &= (uint8_t)~B_UIE;
        r->s.ram[REG_B] = val;
        /* The registers keep their bytes when the format changes, so the running time is
         * encoded anew at the next read. */
        break;
    case REG_C:
    case REG_D: return; /* read only */
    default: r->s.ram[i] = val; break;
    }
    if ((is_time(i) && !was_stopped) || (was_stopped && !stopped(r)))
        set_time(r, now);
}

static enum device_result rtc_access(struct device *dev, unsigned region, uint64_t offset,
                                     unsigned size, uint64_t *val, bool write)
{
    struct rtc *r = container_of(dev, struct rtc, dev);
    (void)region;
    if (size != 1 || offset > PORT_DATA)
        return DEVICE_UNMAPPED;
    if (offset == PORT_INDEX) {
        if (write)
            r->s.index = (uint8_t)*val;
        else
            *val = r->s.index;
        return DEVICE_OK;
    }
    uint64_t now = now_ns(r);
    unsigned i = r->s.index & (uint8_t)~NMI_BIT;
    sync(r, now);
    if (write)
        write_ram(r, i, (uint8_t)*val, now);
    else
        *val = read_ram(r, i, now);
    update(r, now);
    return DEVICE_OK;
}

/* Memory sizes where firmware and old kernels look for them. */
static void store_memory_size(struct rtc *r)
{
    uint64_t low = r->memory_low, ext = low > MiB(1) ? (low - MiB(1)) >> 10 : 0;
    uint64_t above = low > MiB(16) ? (low - MiB(16)) >> 16 : 0;
    le16_put(r->s.ram + CMOS_BASE_KB, 640);
    le16_put(r->s.ram + CMOS_EXT_KB, (uint16_t)MIN(ext, 0xffffu));
    le16_put(r->s.ram + CMOS_EXT_KB_2, (uint16_t)MIN(ext, 0xffffu));
    le16_put(r->s.ram + CMOS_ABOVE_16M, (uint16_t)MIN(above, 0xffffu));
    le_put(r->s.ram + CMOS_ABOVE_4G, MIN(r->memory_high >> 16, 0xffffffu), 3);
    r->s.ram[CMOS_EQUIPMENT] = 0x06; /* FPU, PS/2 pointing device port */
}

/* A reset line clears the interrupt enables; time and RAM are the battery's. */
static void rtc_reset(struct device *dev)
{
    struct rtc *r = container_of(dev, struct rtc, dev);
    uint64_t now = now_ns(r);
    bool was_stopped = stopped(r);
    sync(r, now);
    r->s.index = 0;
    r->s.ram[REG_A] = A_32KHZ | 6;
    r->s.ram[REG_B] &= B_DM | B_24;
    r->s.ram[REG_C] = 0;
    r->s.ram[REG_D] = D_VRT;
    if (was_stopped)
        set_time(r, now);
    update(r, now);
}

/* Seconds are saved with a bias, and within +-35000 years: sums of them cannot overflow. */
#define SECONDS_BIAS BIT(40)

static int rtc_state(struct device *dev, struct state *st)
{
    struct rtc *r = container_of(dev, struct rtc, dev);
    uint64_t now = now_ns(r);
    if (!st->loading)
        sync(r, now);
    struct {
        uint64_t offset, phase, seconds;
    } saved = { (uint64_t)r->s.offset + SECONDS_BIAS, (now - r->s.base_ns) % NS,
                (uint64_t)seconds_at(r, now) + SECONDS_BIAS };
    STATE_INT(st, &r->s, index, 0, 0xff);
    STATE_BYTES(st, &r->s, ram);
    STATE_INT(st, &saved, offset, 0, 2 * SECONDS_BIAS);
    STATE_INT(st, &saved, phase, 0, NS - 1);
    STATE_INT(st, &saved, seconds, 0, 2 * SECONDS_BIAS);
    if (!st->error && st->loading) {
        r->s.offset = (int64_t)(saved.offset - SECONDS_BIAS);
        r->s.base_ns = now - saved.phase;
        r->s.base_seconds = (int64_t)(saved.seconds - SECONDS_BIAS);
        r->s.synced_ns = now;
        r->s.ram[REG_A] &= (uint8_t)~A_UIP;
        update(r, now);
    }
    return st->error;
}

static const struct device_ops rtc_ops = {
    .name = "rtc",
    .access = rtc_access,
    .reset = rtc_reset,
    .state = rtc_state,
    .max_size = 1,
};

void rtc_init(struct rtc *r)
{
    r->dev.ops = &rtc_ops;
    r->timer.fire = fire;
    r->timer.arg = r;
    r->s = (__typeof__(r->s)){ .base_ns = now_ns(r),
                               .base_seconds = r->clock->wall_seconds(r->clock->ctx) };
    r->s.synced_ns = r->s.base_ns;
    r->s.ram[REG_A] = A_32KHZ | 6;
    r->s.ram[REG_B] = B_24;
    store_memory_size(r);
    rtc_reset(&r->dev);
}
