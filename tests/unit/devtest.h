/* SPDX-License-Identifier: BSD-2-Clause */
/* Stand-ins for what a device is wired to: clock and timer turned by hand, a wire, a byte stream, a
 * saved state. */
#ifndef TESTS_UNIT_DEVTEST_H
#define TESTS_UNIT_DEVTEST_H

#include <errno.h>
#include <string.h>

#include "device/device.h"
#include "device/power.h"
#include "lib/state.h"

/* One test at a time uses these. */
static struct {
    uint64_t now;
    int64_t wall;
    uint64_t deadline;
    int level[32];
    unsigned edges[32];
    char out[4096];
    size_t out_len, out_room;
    unsigned resumed;
    int power, power_value;
} env;

static inline uint64_t env_now(void *ctx) { return (void)ctx, env.now; }
static inline int64_t env_wall(void *ctx) { return (void)ctx, env.wall; }
static const struct device_clock env_clock = { .now_ns = env_now, .wall_seconds = env_wall };

static inline void env_timer_set(struct device_timer *t, uint64_t deadline)
{
    (void)t;
    env.deadline = deadline;
}

/* Turns the clock; fires the timer where it is due. */
static inline void env_advance(struct device_timer *t, uint64_t ns)
{
    uint64_t end = env.now + ns;
    while (t && env.deadline <= end) {
        if (env.deadline > env.now)
            env.now = env.deadline;
        env.deadline = UINT64_MAX;
        t->fire(t->arg);
    }
    env.now = end;
}

static inline void env_irq(void *ctx, unsigned line, int level)
{
    (void)ctx;
    env.level[line] = level;
    env.edges[line] += level != 0;
}

static inline struct irq_wire env_wire(unsigned line)
{
    return (struct irq_wire){ .set = env_irq, .line = line };
}

static inline size_t env_write(void *ctx, const void *buf, size_t len)
{
    (void)ctx;
    if (len > env.out_room)
        len = env.out_room;
    if (len > sizeof(env.out) - 1 - env.out_len)
        env.out_len = 0;
    memcpy(env.out + env.out_len, buf, len);
    env.out_len += len;
    env.out[env.out_len] = 0;
    env.out_room -= len;
    return len;
}

static inline void env_resume(void *ctx)
{
    (void)ctx;
    env.resumed++;
}

static inline void env_power(void *ctx, enum power_request what, int value)
{
    (void)ctx;
    env.power = (int)what;
    env.power_value = value;
}

static inline void env_init(void)
{
    memset(&env, 0, sizeof(env));
    env.now = 1000000000000ull;
    env.deadline = UINT64_MAX;
    env.out_room = sizeof(env.out);
    env.power = -1;
}

static inline uint64_t dev_read(struct device *d, unsigned region, uint64_t offset, unsigned size)
{
    uint64_t val = ~0ull;
    if (d->ops->access(d, region, offset, size, &val, false) != DEVICE_OK)
        return ~0ull;
    return val & size_mask(size);
}

static inline void dev_write(struct device *d, unsigned region, uint64_t offset, unsigned size,
                             uint64_t val)
{
    (void)d->ops->access(d, region, offset, size, &val, true);
}

/* ---- a state in memory ---- */

struct test_state {
    struct state st;
    struct {
        char name[32];
        uint64_t v;
        uint8_t bytes[32768];
        size_t len;
    } field[48];
    unsigned count, next;
};

static inline int ts_integer(struct state *s, const char *name, uint64_t *v, uint64_t min,
                             uint64_t max)
{
    struct test_state *t = container_of(s, struct test_state, st);
    if (!s->loading) {
        if (*v < min || *v > max || t->count == 48)
            return -ERANGE;
        strncpy(t->field[t->count].name, name, sizeof(t->field[0].name) - 1);
        t->field[t->count++].v = *v;
        return 0;
    }
    if (t->next >= t->count || strcmp(t->field[t->next].name, name))
        return -ENOENT;
    if (t->field[t->next].v < min || t->field[t->next].v > max)
        return -EINVAL;
    *v = t->field[t->next++].v;
    return 0;
}

static inline int ts_bytes(struct state *s, const char *name, void *buf, size_t len)
{
    struct test_state *t = container_of(s, struct test_state, st);
    if (!s->loading) {
        if (len > sizeof(t->field[0].bytes) || t->count == 48)
            return -ERANGE;
        strncpy(t->field[t->count].name, name, sizeof(t->field[0].name) - 1);
        memcpy(t->field[t->count].bytes, buf, len);
        t->field[t->count++].len = len;
        return 0;
    }
    if (t->next >= t->count || strcmp(t->field[t->next].name, name))
        return -ENOENT;
    memcpy(buf, t->field[t->next++].bytes, len);
    return 0;
}

static struct test_state env_state;

static inline int dev_save(struct device *d)
{
    memset(&env_state, 0, sizeof(env_state));
    env_state.st.integer = ts_integer;
    env_state.st.bytes = ts_bytes;
    return d->ops->state(d, &env_state.st);
}

static inline int dev_load(struct device *d)
{
    env_state.st.loading = true;
    env_state.st.error = 0;
    env_state.next = 0;
    return d->ops->state(d, &env_state.st);
}

#endif
