/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose turn it is to have the window. An address space earns it by using the processor in user
 * mode: at polls the present one is sampled, and a new one that runs for long without a break is
 * seen earlier, when code is looked for. It loses it when pages come and go so often that faults
 * cost more than look-ups would, and to another that runs while it does not.
 */
#include "engine/soft/xl_window.h"

enum {
    SAMPLE_MS = 1, /* samples are taken at most so often */
    YOUNG_US =
        1500,      /* a program that has run so long without a break need not wait for the clock */
    AGAIN = 16,    /* an address space that has lost the window so many samples ago still runs */
    PATIENCE = 64, /* samples at most that a contested owner may be away */
    LEAK = 100,    /* pages lost or refused that are all right for a sample in user mode, */
    BUCKET = 600,  /* and how many more */
    SOON = 128,    /* samples; the window shall not be full again before */
    BAN_MS = 250,  /* for which an address space that has more of them loses its right */
    AWAY_EACH = 32,
    AWAY = 8
};

void xl_turn_init(struct xl_turn *t)
{
    t->khz = soft_tsc_khz();
    t->patience = 1;
}

void xl_turn_begin(struct xl_turn *t)
{
    t->unseen = 0;
    t->bucket = 0;
    t->churn = 0;
}

void xl_turn_full(struct xl_turn *t)
{
    if (t->samples - t->filled < SOON)
        t->churn += BUCKET + LEAK;
    t->filled = t->samples;
}

static struct xl_turn_space *space_of(struct xl_turn *t, uint64_t cr3)
{
    struct xl_turn_space *s = &t->space[(cr3 >> 12 ^ cr3 >> 18) % XL_TURN_KEPT];

    if (s->cr3 != cr3)
        *s = (struct xl_turn_space){ .cr3 = cr3 };
    return s;
}

/* The owner, found running in user mode: whether pages come and go so often that it loses more than
 * it gains. */
static void judge(struct soft_vcpu *v, struct xl_turn_space *s, uint64_t now)
{
    struct xl_turn *t = xl_window_turn(v);

    t->unseen = 0;
    t->bucket = MAX(t->bucket + (int64_t)t->churn - LEAK, 0);
    t->churn = 0;
    if (t->bucket < BUCKET || v->vm->window)
        return;
    s->banned = now + ((uint64_t)BAN_MS << MIN(s->bans++, 3u)) * t->khz;
    v->xl.window_bans++;
    xl_window_lose(v);
}

/* Another is found running. Mostly the owner has ended; if it has not, and comes back, the next
 * owner stays longer. */
static void contest(struct soft_vcpu *v, struct xl_turn_space *s, uint64_t now)
{
    struct xl_turn *t = xl_window_turn(v);

    if (now < s->banned || atomic_load(&v->vm->vcpus) > 1)
        return;
    if (xl_window_owner(v) != XL_NO_OWNER) {
        if (++t->unseen < t->patience)
            return;
        if (s->lost && t->samples - s->lost < AGAIN)
            t->patience = MIN(4 * t->patience, (unsigned)PATIENCE);
        else if (t->patience > 1)
            t->patience--;
        space_of(t, xl_window_owner(v))->lost = t->samples;
    }
    xl_window_give(v);
}

void xl_window_sample(struct soft_vcpu *v, uint64_t now)
{
    struct xl_turn *t = xl_window_turn(v);
    const struct x86_cpu *cpu = &v->cpu;
    const uint64_t cr3 = xl_cr3_base(cpu->cr3);

    if (!t || now - t->sampled < SAMPLE_MS * t->khz || cpu->cpl != 3 || cpu->code != 8)
        return;
    t->sampled = now;
    t->samples++;
    if (xl_window_owner(v) == cr3)
        judge(v, space_of(t, cr3), now);
    else
        contest(v, space_of(t, cr3), now);
}

void xl_window_glance(struct soft_vcpu *v)
{
    struct xl_turn *t = xl_window_turn(v);

    if (!t || v->cpu.cpl != 3 || v->cpu.code != 8 || xl_window_owner(v) == xl_cr3_base(v->cpu.cr3))
        return;
    const uint64_t now = soft_rdtsc();
    if (!t->since)
        t->since = now;
    else if ((now - t->since) * 1000 > YOUNG_US * t->khz)
        xl_window_sample(v, now);
}

/* For tests: every program has it from the start, but for some of the times it enters code, so that
 * it goes into the window and out of it wherever it may be. */
void xl_turn_by_count(struct soft_vcpu *v)
{
    const bool has = xl_window_owner(v) == xl_cr3_base(v->cpu.cr3);

    if (v->xl.entries % AWAY_EACH < AWAY) {
        if (has)
            xl_window_lose(v);
    } else if (!has) {
        xl_window_give(v);
    }
}
