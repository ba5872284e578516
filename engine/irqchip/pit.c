/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254 programmable interval timer and port 0x61. [8254], [PIIX3] "NMI Status and Control".
 *
 * Nothing runs: a channel is the tick of its last load, and counter and output follow from the
 * time. Times are whole ticks since now_ns 0, so no rounding error adds up.
 */
#include "engine/irqchip/model.h"

#include <errno.h>

enum { PIT_BYTE_LOW = 1, PIT_BYTE_HIGH = 2, PIT_BYTE_FIRST = 3, PIT_BYTE_SECOND = 4 };
enum { NS = 1000000000 };
enum { CONTROL = 0x43, SPEAKER = 0x61 };
enum { STATUS_OUT = BIT(7), STATUS_NULL = BIT(6) };
enum {
    SPEAKER_GATE = BIT(0),
    SPEAKER_DATA = BIT(1),
    SPEAKER_REFRESH = BIT(4),
    SPEAKER_OUT = BIT(5)
};
/* A pause of the VM is not made up for; a late vCPU is. */
enum { BACKLOG_SECONDS = 10 };
/* Channel 1 made the refresh requests of the first PCs: one in 18 ticks. */
enum { REFRESH_TICKS = 18 };

uint64_t pit_ticks(uint64_t ns) { return ns / NS * PIT_HZ + ns % NS * PIT_HZ / NS; }

uint64_t pit_ns(uint64_t t) { return t / PIT_HZ * NS + (t % PIT_HZ * NS + PIT_HZ - 1) / PIT_HZ; }

static bool is_periodic(const struct pit_channel *c) { return c->mode == 2 || c->mode == 3; }

/* Clocks of mode 3's high half; the odd one is in it. [8254] "Mode 3" */
static uint32_t high_half(uint32_t count) { return (count + 1) / 2; }

/* Clocks counted since the load. */
static uint64_t elapsed(const struct pit_channel *c, uint64_t now)
{
    if (!c->gate && (c->mode == 0 || c->mode == 4))
        return c->held;
    return now > c->start ? now - c->start : 0;
}

static void load(struct pit_channel *c, uint64_t start)
{
    c->count = c->reg;
    c->start = start;
    c->held = 0;
    c->counting = true;
    c->null_count = c->switching = false;
}

/* Lets a count written during a period take over when the period has ended. */
static void settle(struct pit_channel *c, uint64_t now)
{
    if (!c->switching || now < c->switch_at)
        return;
    uint64_t at = c->switch_at;
    uint64_t phase = c->mode == 3 ? (at - c->start) % c->count : 0;
    load(c, at);
    if (phase) /* the low half begins */
        c->start = at - MIN(high_half(c->count), at);
}

static bool output(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);

    if (!c->counting)
        return c->mode != 0;
    switch (c->mode) {
    case 0:
    case 1: return (c->mode == 1 && now < c->start) || e >= c->count;
    case 2: return !c->gate || e % c->count != c->count - 1;
    case 3: return !c->gate || e % c->count < high_half(c->count);
    default: return e != c->count || now < c->start;
    }
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint16_t v)
{
    return (v & 15u) + (v >> 4 & 15u) * 10 + (v >> 8 & 15u) * 100 + (v >> 12 & 15u) * 1000;
}

static uint16_t counter(const struct pit_channel *c, uint64_t now)
{
    uint32_t modulo = c->bcd ? 10000 : 65536;
    uint64_t e = elapsed(c, now), v;

    if (!c->counting) {
        v = c->count;
    } else if (c->mode == 2) {
        v = c->gate ? c->count - e % c->count : c->count;
    } else if (c->mode == 3) { /* by twos, from the even number at or below the count */
        uint32_t high = high_half(c->count);
        e = c->gate ? e % c->count : 0;
        v = (c->count & ~1u) - 2 * (e < high ? e : e - high);
    } else {
        v = modulo + c->count - e % modulo;
    }
    v %= modulo;
    return c->bcd ? to_bcd((uint32_t)v) : (uint16_t)v;
}

static void count_written(struct pit_channel *c, uint16_t v, uint64_t now)
{
    uint32_t count = c->bcd ? from_bcd(v) : v;

    c->reg = count ? count : c->bcd ? 10000 : 65536;
    if (is_periodic(c) && c->reg == 1)
        c->reg = 2; /* [8254] "COUNT = 1 is illegal" */
    c->null_count = true;
    switch (c->mode) {
    case 1:
    case 5: return; /* loaded by the gate */
    case 2:
    case 3:
        if (c->counting && c->gate) {
            if (c->switching)
                return;
            uint64_t e = elapsed(c, now) % c->count, base = now - e;
            uint32_t end = c->mode == 3 && e < high_half(c->count) ? high_half(c->count) : c->count;
            c->switching = true;
            c->switch_at = (now > c->start ? base : c->start) + end;
            return;
        }
        break;
    }
    load(c, now + 1);
}

static void set_gate(struct pit_channel *c, bool gate, uint64_t now)
{
    if (gate == c->gate)
        return;
    if (c->mode == 0 || c->mode == 4) {
        if (gate)
            c->start = now - MIN(c->held, now);
        else
            c->held = elapsed(c, now);
    }
    c->gate = gate;
    c->switching = false;
    if (gate && c->reg && c->mode != 0 && c->mode != 4)
        load(c, now + 1);
}

static uint8_t status(const struct pit_channel *c, uint64_t now)
{
    return (uint8_t)((output(c, now) ? STATUS_OUT : 0) | (c->null_count ? STATUS_NULL : 0) |
                     c->rw << 4 | c->mode << 1 | c->bcd);
}

static void latch_count(struct pit_channel *c, uint64_t now)
{
    if (c->count_latched)
        return;
    c->latched = counter(c, now);
    c->count_latched = c->rw == 3 ? PIT_BYTE_FIRST : c->rw;
}

static void latch_status(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    c->status = status(c, now);
    c->status_latched = true;
}

static void control(struct pit *p, uint8_t v, uint64_t now)
{
    if (v >> 6 == 3) { /* read-back: [8254] D5 = 0 count, D4 = 0 status, D3..D1 counters */
        for (unsigned i = 0; i < 3; i++) {
            if (!(v & BIT(i + 1)))
                continue;
            if (!(v & BIT(5)))
                latch_count(&p->ch[i], now);
            if (!(v & BIT(4)))
                latch_status(&p->ch[i], now);
        }
        return;
    }
    struct pit_channel *c = &p->ch[v >> 6];
    uint8_t rw = v >> 4 & 3, mode = v >> 1 & 7;

    if (!rw) {
        latch_count(c, now);
        return;
    }
    uint32_t count = c->count;
    *c = (struct pit_channel){
        .mode = mode > 5 ? mode - 4 : mode,
        .bcd = v & 1,
        .rw = rw,
        .read_state = rw == 3 ? PIT_BYTE_FIRST : rw,
        .write_state = rw == 3 ? PIT_BYTE_FIRST : rw,
        .gate = c->gate,
        .null_count = true,
        .count = count,
    };
}

static void write_count(struct pit_channel *c, uint8_t v, uint64_t now)
{
    switch (c->write_state) {
    case PIT_BYTE_LOW: count_written(c, v, now); break;
    case PIT_BYTE_HIGH: count_written(c, (uint16_t)(v << 8), now); break;
    case PIT_BYTE_FIRST:
        c->write_latch = v;
        c->write_state = PIT_BYTE_SECOND;
        if (c->mode == 0)
            c->counting = false; /* [8254] "writing the first byte disables counting" */
        break;
    case PIT_BYTE_SECOND:
        c->write_state = PIT_BYTE_FIRST;
        count_written(c, (uint16_t)(c->write_latch | v << 8), now);
        break;
    }
}

static uint8_t read_count(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    bool latched = c->count_latched;
    uint8_t *state = latched ? &c->count_latched : &c->read_state;
    uint16_t v = latched ? c->latched : counter(c, now);
    uint8_t byte =
        *state == PIT_BYTE_HIGH || *state == PIT_BYTE_SECOND ? (uint8_t)(v >> 8) : (uint8_t)v;
    if (*state == PIT_BYTE_FIRST)
        *state = PIT_BYTE_SECOND;
    else if (latched)
        *state = 0;
    else if (*state == PIT_BYTE_SECOND)
        *state = PIT_BYTE_FIRST;
    return byte;
}

bool pit_owns(const struct pit *p, uint16_t port)
{
    return p->present && ((port & 0xfffc) == 0x40 || (port == SPEAKER && p->speaker));
}

uint8_t pit_read(struct pit *p, uint16_t port, uint64_t now)
{
    struct pit_channel *speaker = &p->ch[2];

    if (port == CONTROL)
        return 0xff; /* write only */
    if (port != SPEAKER) {
        settle(&p->ch[port & 3], now);
        return read_count(&p->ch[port & 3], now);
    }
    settle(speaker, now);
    return (uint8_t)((speaker->gate ? SPEAKER_GATE : 0) | (p->speaker_data ? SPEAKER_DATA : 0) |
                     (now / REFRESH_TICKS & 1 ? SPEAKER_REFRESH : 0) |
                     (output(speaker, now) ? SPEAKER_OUT : 0));
}

void pit_write(struct pit *p, uint16_t port, uint8_t v, uint64_t now)
{
    pit_run(p, now); /* rises under the old programming count */
    for (unsigned i = 0; i < 3; i++)
        settle(&p->ch[i], now);
    if (port == SPEAKER) {
        p->speaker_data = v & SPEAKER_DATA;
        set_gate(&p->ch[2], v & SPEAKER_GATE, now);
    } else if (port == CONTROL) {
        control(p, v, now);
    } else {
        write_count(&p->ch[port & 3], v, now);
    }
}

/*
 * Tick of the first rise of OUT behind `after`, or NEVER; of the loaded count, a switch aside.
 * DEVIATES: the rise that a control word itself makes when OUT was low is no interrupt: guests do
 * not expect a tick from programming the timer.
 */
static uint64_t next_rise(const struct pit_channel *c, uint64_t after)
{
    if (!c->counting || !c->gate)
        return NEVER;
    if (is_periodic(c))
        return after < c->start ? c->start + c->count
                                : c->start + ((after - c->start) / c->count + 1) * c->count;
    uint64_t at = c->start + c->count + (c->mode >= 4);
    return at > after ? at : NEVER;
}

void pit_run(struct pit *p, uint64_t now)
{
    struct pit_channel *c = &p->ch[0];

    while (p->present && p->last < now) {
        uint64_t until = c->switching ? MIN(now, MAX(c->switch_at, p->last)) : now;
        uint64_t rise = next_rise(c, p->last);
        if (rise <= until)
            p->backlog += is_periodic(c) ? (until - rise) / c->count + 1 : 1;
        p->last = until;
        settle(c, until);
    }
    if (p->hpet_legacy)
        p->backlog = 0;
    pit_limit(p, (uint64_t)BACKLOG_SECONDS * PIT_HZ);
}

void pit_limit(struct pit *p, uint64_t ticks)
{
    struct pit_channel *c = &p->ch[0];
    uint64_t most = is_periodic(c) && c->count ? ticks / c->count : 0;

    p->backlog = MIN(p->backlog, MAX(most, 1));
}

uint64_t pit_next(const struct pit *p)
{
    const struct pit_channel *c = &p->ch[0];

    if (!p->present || p->hpet_legacy)
        return NEVER;
    uint64_t rise = next_rise(c, p->last);
    return c->switching ? MIN(rise, c->switch_at) : rise;
}

void pit_reset(struct pit *p, uint64_t now)
{
    *p = (struct pit){ .present = p->present, .speaker = p->speaker, .last = now };
    for (unsigned i = 0; i < 3; i++) {
        control(p, (uint8_t)(i << 6 | 3 << 4), now);
        p->ch[i].gate = i != 2;
    }
}

/*
 * KVM starts all counters anew when state is set and ignores count_load_time. We put the time since
 * the load there, negated, so that our own snapshots keep their phase.
 */
void pit_get(struct pit *p, struct kvm_pit_state2 *k, uint64_t now)
{
    pit_run(p, now);
    *k = (struct kvm_pit_state2){
        .flags = (p->speaker_data ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0) |
                 (p->hpet_legacy ? KVM_PIT_FLAGS_HPET_LEGACY : 0),
    };
    for (unsigned i = 0; i < 3; i++) {
        struct pit_channel *c = &p->ch[i];
        settle(c, now);
        k->channels[i] = (struct kvm_pit_channel_state){
            .count = c->reg,
            .latched_count = c->latched,
            .count_latched = c->count_latched,
            .status_latched = c->status_latched,
            .status = c->status,
            .read_state = c->read_state,
            .write_state = c->write_state,
            .write_latch = c->write_latch,
            .rw_mode = c->rw,
            .mode = c->mode,
            .bcd = c->bcd,
            .gate = c->gate,
            .count_load_time = c->counting ? -(int64_t)pit_ns(elapsed(c, now)) - 1 : 0,
        };
    }
}

static bool channel_ok(const struct kvm_pit_channel_state *k)
{
    return k->count <= (k->bcd ? 10000 : 65536) && k->bcd <= 1 &&
           (k->mode <= 7 || k->mode == 0xff) && k->rw_mode <= 3 && k->read_state <= 4 &&
           k->write_state <= 4 && k->count_latched <= 4;
}

int pit_set(struct pit *p, const struct kvm_pit_state2 *k, uint64_t now)
{
    for (unsigned i = 0; i < 3; i++)
        if (!channel_ok(&k->channels[i]))
            return -EINVAL;
    pit_reset(p, now);
    p->speaker_data = k->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    p->hpet_legacy = k->flags & KVM_PIT_FLAGS_HPET_LEGACY;
    for (unsigned i = 0; i < 3; i++) {
        const struct kvm_pit_channel_state *s = &k->channels[i];
        struct pit_channel *c = &p->ch[i];
        bool unused = s->mode == 0xff; /* KVM: never programmed */
        *c = (struct pit_channel){
            .mode = unused        ? 0
                    : s->mode > 5 ? s->mode - 4
                                  : s->mode,
            .bcd = s->bcd,
            .rw = s->rw_mode,
            .read_state = s->read_state,
            .write_state = s->write_state,
            .write_latch = s->write_latch,
            .count_latched = s->count_latched,
            .status_latched = s->status_latched,
            .status = s->status,
            .latched = s->latched_count,
            .gate = s->gate || i != 2,
            .null_count = true,
            .reg = s->count,
        };
        if (is_periodic(c) && c->reg == 1)
            c->reg = 2;
        if (unused || !c->reg || ((c->mode == 1 || c->mode == 5) && s->count_load_time >= 0))
            continue;
        uint64_t age = s->count_load_time < 0 ? pit_ticks(-(uint64_t)(s->count_load_time + 1)) : 0;
        load(c, now - MIN(age, now));
        c->held = age;
    }
    return 0;
}
