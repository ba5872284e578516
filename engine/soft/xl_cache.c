/* SPDX-License-Identifier: BSD-2-Clause */
/* Translated blocks: found, linked, dropped with the decoded block they come from. */
#include <string.h>

#include "engine/soft/soft.h"

enum { ROOM = 64 << 10 /* more than a block can need */, ARENA_ROOM = 64 << 10 };

static void set_jump(struct xl *xl, const struct xl_link *l, uint32_t to)
{
    int32_t rel = (int32_t)(to - (l->patch + 4));

    memcpy(xl->rw + l->patch, &rel, 4);
}

void *xl_arena(struct xl *xl, size_t size)
{
    void *p = xl->arena + xl->arena_used;

    xl->arena_used += ALIGN_UP(size, (size_t)16);
    return p;
}

void xl_link_to(struct soft_vcpu *v, struct xl_link *l, struct xl_block *b)
{
    set_jump(&v->xl, l, b->code);
    l->next = b->in;
    b->in = l;
}

void xl_set_salt(struct soft_vcpu *v) { v->xl.salt = v->xl.epoch << XL_KEY_BITS | xl_key(&v->cpu); }

void xl_tlb_flushed(struct x86_cpu *cpu, enum x86_tlb_event what, uint64_t arg)
{
    struct xl *xl = &soft_vcpu_of(cpu)->xl;

    (void)what;
    (void)arg;
    if (!xl->on)
        return;
    if (++xl->epoch == 1u << (32 - XL_KEY_BITS)) {
        memset(xl->jump, 0, sizeof(xl->jump));
        xl->epoch = 1;
    }
    xl_set_salt(soft_vcpu_of(cpu));
}

void xl_drop(struct soft_vcpu *v, struct soft_block *sb)
{
    struct xl *xl = &v->xl;

    if (sb->xl_generation == xl->generation)
        for (struct xl_block *b = sb->xl; b; b = b->next) {
            struct xl_jump *j = &xl->jump[b->rip & (XL_JUMPS - 1)];
            if (j->code == b->code)
                j->salt = 0;
            for (struct xl_link *l = b->in; l; l = l->next)
                set_jump(xl, l, l->stub);
            b->in = NULL;
        }
    sb->xl = NULL;
}

void xl_flush(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;

    if (!xl->on)
        return;
    xl->used = xl->first;
    xl->arena_used = 0;
    xl->generation++;
    memset(xl->jump, 0, sizeof(xl->jump));
}

struct xl_block *xl_find(struct soft_vcpu *v, struct soft_block *sb)
{
    const uint64_t rip = v->cpu.rip;
    const uint32_t key = xl_key(&v->cpu);
    struct xl *xl = &v->xl;
    struct xl_block *b;

    if (sb->xl_generation == xl->generation) {
        for (b = sb->xl; b; b = b->next)
            if (b->rip == rip && b->key == key)
                return b;
    } else {
        sb->xl = NULL;
    }
    if (xl->size - xl->used < ROOM || xl->size - xl->arena_used < ARENA_ROOM) {
        xl_flush(v);
        sb->xl = NULL;
    }
    b = xl_arena(xl, sizeof(*b));
    *b = (struct xl_block){ .rip = rip, .key = key, .next = sb->xl };
    const uint64_t begin = soft_rdtsc();
    b->code = xl_translate(v, sb);
    xl->translate_tsc += soft_rdtsc() - begin;
    xl->insns += sb->count;
    if (v->vm->perf)
        xl_perf_block(v, rip, b->code, xl->used);
    sb->xl = b;
    sb->xl_generation = xl->generation;
    xl->blocks++;
    return b;
}
