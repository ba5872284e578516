/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's memory. Generated code finds everything at constant offsets from gs; so that another
 * address space costs it only another gs, the state is mapped once a view, each time followed by
 * what that view has of its own. C uses the first mapping. */
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/soft/soft.h"

#define STATE  ALIGN_UP(sizeof(struct soft_vcpu), (size_t)0x1000)
#define STRIDE (STATE + ALIGN_UP(sizeof(struct xl_view), (size_t)0x1000))

struct soft_vcpu *soft_vcpu_alloc(void)
{
    uint8_t *p = soft_pages_alloc(STRIDE * X86_VIEWS);
    struct soft_vcpu *v = (struct soft_vcpu *)(void *)p;

    if (!p)
        return NULL;
    if (mmap(p, STATE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
        p) {
        soft_pages_free(p, STRIDE * X86_VIEWS);
        return NULL;
    }
    for (unsigned i = 1; i < X86_VIEWS; i++)
        if (mremap(p, 0, STATE, MREMAP_MAYMOVE | MREMAP_FIXED, p + i * STRIDE) != p + i * STRIDE) {
            soft_pages_free(p, STRIDE * X86_VIEWS);
            return NULL;
        }
    v->cpu.views = X86_VIEWS;
    for (unsigned i = 0; i < X86_VIEWS; i++)
        v->cpu.view[i].tlb = &xl_view(v, i)->tlb;
    return v;
}

void soft_vcpu_free(struct soft_vcpu *v) { soft_pages_free(v, STRIDE * X86_VIEWS); }

struct xl_view *xl_view(struct soft_vcpu *v, unsigned id)
{
    return (struct xl_view *)(void *)((uint8_t *)v + id * STRIDE + STATE);
}

/* The thread's gs for the current view. */
void xl_set_gs(struct soft_vcpu *v)
{
    static _Thread_local uint64_t gs;
    const uint64_t want = (uint64_t)(uintptr_t)&v->cpu + v->cpu.view_id * STRIDE;

    if (gs == want)
        return;
    gs = want;
    if (v->xl.fsgsbase)
        __asm__ volatile("wrgsbase %0" : : "r"(want));
    else
        syscall(SYS_arch_prctl, ARCH_SET_GS, want);
}
