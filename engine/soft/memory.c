/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory of the software engine: slots, dirty log, which pages hold decoded code, and how
 * running vCPUs learn of changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/soft/soft.h"

/* ---- slots ---- */

static void slot_free(struct soft_slot *s)
{
    soft_pages_free((void *)s->lines, (size_t)(s->len >> 12) * 8);
    free((void *)s->dirty);
}

static int dirty_alloc(struct soft_slot *s)
{
    if (s->dirty || !(s->flags & KVM_MEM_LOG_DIRTY_PAGES))
        return 0;
    s->dirty = calloc((size_t)((s->len >> 12) + 63) / 64, 8);
    return s->dirty ? 0 : -ENOMEM;
}

/* Takes over into *next what a request means; *gone: slot whose tables are to be freed afterwards.
 */
static int map_change(struct soft_map *next, const struct kvm_userspace_memory_region *r,
                      struct soft_slot *gone)
{
    struct soft_slot *old = NULL;

    for (unsigned i = 0; i < next->count; i++)
        if (next->slot[i].id == r->slot)
            old = &next->slot[i];
    if (!r->memory_size) {
        if (!old)
            return -EINVAL;
        *gone = *old;
        *old = next->slot[--next->count];
        return 0;
    }
    for (unsigned i = 0; i < next->count; i++)
        if (&next->slot[i] != old && range_overlaps(next->slot[i].gpa, next->slot[i].len,
                                                    r->guest_phys_addr, r->memory_size))
            return -EEXIST;
    if (old) { /* only moving and flags: size and host address are fixed, as in KVM */
        if (old->len != r->memory_size || (uint64_t)(uintptr_t)old->host != r->userspace_addr)
            return -EINVAL;
        old->gpa = r->guest_phys_addr;
        old->flags = r->flags;
        if (!(r->flags & KVM_MEM_LOG_DIRTY_PAGES) && old->dirty) {
            gone->dirty = old->dirty;
            old->dirty = NULL;
        }
        return dirty_alloc(old);
    }
    if (next->count == SOFT_SLOTS)
        return -EINVAL;
    struct soft_slot s = { .id = r->slot,
                           .flags = r->flags,
                           .gpa = r->guest_phys_addr,
                           .len = r->memory_size,
                           .host = (uint8_t *)(uintptr_t)r->userspace_addr };
    s.lines = soft_pages_alloc((size_t)(s.len >> 12) * 8);
    if (!s.lines)
        return -ENOMEM;
    if (dirty_alloc(&s)) {
        slot_free(&s);
        return -ENOMEM;
    }
    next->slot[next->count++] = s;
    return 0;
}

int soft_set_memory(struct engine_vm *evm, const struct kvm_userspace_memory_region *r)
{
    struct soft_vm *vm = soft_vm_of(evm);
    struct soft_slot gone = { .host = NULL };
    struct soft_map *next, *old;
    int err;

    if ((r->slot >> 16) || r->slot >= SOFT_SLOTS ||
        (r->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)) ||
        ((r->guest_phys_addr | r->memory_size | r->userspace_addr) & 0xfff) ||
        (r->memory_size &&
         (!r->userspace_addr || !range_ok(r->guest_phys_addr, r->memory_size, BIT(X86_PHYS_BITS)))))
        return -EINVAL;
    next = malloc(sizeof(*next));
    if (!next)
        return -ENOMEM;
    pthread_mutex_lock(&vm->lock);
    old = atomic_load(&vm->map);
    *next = *old;
    err = map_change(next, r, &gone);
    if (err) {
        free(next);
    } else {
        atomic_store(&vm->map, next);
        soft_sync(vm, NULL, SOFT_FLUSH);
        free(old);
        slot_free(&gone);
    }
    pthread_mutex_unlock(&vm->lock);
    return err;
}

void soft_memory_destroy(struct soft_vm *vm)
{
    struct soft_map *map = atomic_load(&vm->map);

    for (unsigned i = 0; i < map->count; i++)
        slot_free(&map->slot[i]);
    free(map);
}

int soft_get_dirty_log(struct engine_vm *evm, struct kvm_dirty_log *log)
{
    struct soft_vm *vm = soft_vm_of(evm);
    struct soft_map *map;
    int err = -ENOENT;

    pthread_mutex_lock(&vm->lock);
    map = atomic_load(&vm->map);
    for (unsigned i = 0; i < map->count; i++) {
        struct soft_slot *s = &map->slot[i];
        if (s->id != log->slot || !s->dirty)
            continue;
        uint64_t words = ((s->len >> 12) + 63) / 64, any = 0;
        for (uint64_t w = 0; w < words; w++) {
            uint64_t bits = atomic_exchange(&s->dirty[w], 0);
            memcpy((uint8_t *)log->dirty_bitmap + 8 * w, &bits, 8);
            any |= bits;
        }
        if (any) /* the next store to these pages must be seen again */
            soft_sync(vm, NULL, SOFT_TLB);
        err = 0;
    }
    pthread_mutex_unlock(&vm->lock);
    return err;
}

static struct soft_slot *slot_of(struct soft_vcpu *v, uint64_t gpa)
{
    struct soft_map *map = atomic_load_explicit(&v->vm->map, memory_order_acquire);
    struct soft_slot *s = &map->slot[v->last_slot];

    if (likely(v->last_slot < map->count && gpa - s->gpa < s->len))
        return s;
    for (unsigned i = 0; i < map->count; i++)
        if (gpa - map->slot[i].gpa < map->slot[i].len) {
            v->last_slot = i;
            return &map->slot[i];
        }
    return NULL;
}

struct soft_slot *soft_slot_of_host(struct soft_vcpu *v, const uint8_t *host)
{
    struct soft_map *map = atomic_load_explicit(&v->vm->map, memory_order_acquire);

    for (unsigned i = 0; i < map->count; i++)
        if ((uintptr_t)host - (uintptr_t)map->slot[i].host < map->slot[i].len)
            return &map->slot[i];
    return NULL;
}

uint8_t *soft_ram(struct x86_cpu *cpu, uint64_t gpa, unsigned *props)
{
    struct soft_slot *s = slot_of(soft_vcpu_of(cpu), gpa);
    uint64_t page;

    if (unlikely(!s))
        return NULL;
    page = (gpa - s->gpa) >> 12;
    if (s->flags & KVM_MEM_READONLY) {
        *props = X86_RAM_ROM;
    } else {
        *props = X86_RAM_WRITABLE;
        /* A page not yet dirty is treated like code: its first store comes to soft_store_code. So
         * is the root of the page tables that the window is made by. */
        if (atomic_load_explicit(&s->lines[page], memory_order_relaxed) ||
            s->host + (page << 12) == soft_vcpu_of(cpu)->xl.window_root ||
            (s->dirty && !(atomic_load(&s->dirty[page / 64]) & BIT(page % 64))))
            *props |= X86_RAM_CODE;
    }
    return s->host + (gpa - s->gpa);
}

static uint64_t line_mask(uint64_t off, uint64_t len)
{
    return BITS(MIN(off + len - 1, (uint64_t)4095) / 64, off / 64);
}

void soft_store_code(struct x86_cpu *cpu, uint64_t gpa, unsigned len)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);
    struct soft_slot *s = slot_of(v, gpa);
    uint64_t page;

    if (!s)
        return;
    page = (gpa - s->gpa) >> 12;
    if (s->host + (page << 12) == v->xl.window_root)
        xl_window_root_changes(v);
    if (s->dirty)
        atomic_fetch_or(&s->dirty[page / 64], BIT(page % 64));
    if (!(atomic_load(&s->lines[page]) & line_mask(gpa & 0xfff, len)))
        return;
    soft_cache_invalidate(v, s->host + (gpa - s->gpa), len);
    soft_invalidate_others(v->vm, v, s->host + (gpa - s->gpa), len);
}

/* ---- changes from outside ---- */

void soft_memory_written(struct engine_vm *evm, uint64_t gpa, uint64_t len)
{
    struct soft_vm *vm = soft_vm_of(evm);

    if (!len || gpa + len < gpa)
        return;
    /* The bytes before the look at lines, as block.c sets lines before it verifies bytes. */
    atomic_thread_fence(memory_order_seq_cst);
    pthread_mutex_lock(&vm->lock);
    struct soft_map *map = atomic_load(&vm->map);
    for (unsigned i = 0; i < map->count; i++) {
        struct soft_slot *s = &map->slot[i];
        if (!range_overlaps(s->gpa, s->len, gpa, len))
            continue;
        uint64_t at = MAX(gpa, s->gpa) - s->gpa, end = MIN(gpa + len, s->gpa + s->len) - s->gpa;
        for (uint64_t n; at < end; at += n) {
            n = MIN(0x1000 - (at & 0xfff), end - at);
            if (atomic_load(&s->lines[at >> 12]) & line_mask(at & 0xfff, n))
                soft_invalidate_others(vm, NULL, s->host + at, (unsigned)n);
        }
    }
    pthread_mutex_unlock(&vm->lock);
}

void soft_sync(struct soft_vm *vm, struct soft_vcpu *self, uint32_t bits)
{
    unsigned n = atomic_load(&vm->vcpus);

    for (unsigned i = 0; i < n; i++) {
        struct soft_vcpu *v = vm->vcpu[i];
        _Atomic uint64_t *counter = bits & SOFT_INBOX_BIT ? &v->inbox_seen : &v->flushed;
        uint64_t seen;
        if (v == self)
            continue;
        seen = atomic_load(counter);
        soft_attention(v, bits);
        while (atomic_load(&v->running) && atomic_load(counter) == seen) {
            struct timespec ts = { 0, 20000 };
            if (self)
                soft_inbox_work(self);
            nanosleep(&ts, NULL);
        }
    }
}
