/* SPDX-License-Identifier: BSD-2-Clause */
/* Lockstep: no difference in code of every kind; a translation that is made wrong by hand is found,
 * with its disassembly in the report; a second processor is refused. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/soft/lockstep.h"
#include "tests/unit/unit.h"

enum { RAM = 1 << 20, CODE = 0x8000 };

static const struct engine_ops *const ops = &engine_soft;
static struct engine_vm *vm;
static struct engine_vcpu *vcpu;
static uint8_t *ram;

static uint64_t run(uint64_t rip)
{
    struct kvm_regs r = { .rip = rip, .rflags = 2, .rsp = 0x7000, .rbx = 0x10000 };

    CHECK_EQ(ops->set_regs(vcpu, &r), 0);
    CHECK_EQ(ops->run(vcpu), 0);
    CHECK_EQ(ops->get_regs(vcpu, &r), 0);
    return r.rax;
}

static void flat(void)
{
    struct kvm_segment seg = {
        .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
    };
    struct kvm_sregs s;

    CHECK_EQ(ops->get_sregs(vcpu, &s), 0);
    s.ds = s.es = s.fs = s.gs = s.ss = seg;
    seg.type = 11;
    seg.selector = 8;
    s.cs = seg;
    s.cr0 |= 1;
    s.cr4 |= 0x600;
    CHECK_EQ(ops->set_sregs(vcpu, &s), 0);
}

/* What the run says on stderr. */
static char *report_of(uint64_t rip)
{
    static char text[1 << 16];
    FILE *f = tmpfile();
    int old = dup(2);

    CHECK(f && old >= 0);
    fflush(stderr);
    dup2(fileno(f), 2);
    run(rip);
    fflush(stderr);
    dup2(old, 2);
    close(old);
    rewind(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    return text;
}

int main(void)
{
    /* mov eax, 0x12345678; push eax; pop ecx; inc dword [ebx]; call +2; jmp +6;
     * mov esi, ebx; rep stosb (count 0); addps xmm0, xmm1; ret; hlt */
    static const uint8_t code[] = { 0xb8, 0x78, 0x56, 0x34, 0x12, 0x50, 0x59, 0xff, 0x03,
                                    0xe8, 0x02, 0,    0,    0,    0xeb, 0x0a, 0x89, 0xde,
                                    0x31, 0xc9, 0xf3, 0xaa, 0x0f, 0x58, 0xc1, 0xc3, 0xf4 };
    const struct engine_options opt = { .soft = "lockstep" };
    struct engine *engine;
    struct engine_vcpu *second;

    ram = aligned_alloc(4096, RAM);
    memset(ram, 0, RAM);
    CHECK_EQ(ops->open(&engine, &opt), 0);
    CHECK_EQ(ops->create_vm(engine, &vm), 0);
    const struct kvm_userspace_memory_region r = { .memory_size = RAM,
                                                   .userspace_addr = (uintptr_t)ram };
    CHECK_EQ(ops->set_user_memory_region(vm, &r), 0);
    CHECK_EQ(ops->create_vcpu(vm, 0, &vcpu), 0);
    CHECK(ops->create_vcpu(vm, 1, &second) != 0);
    struct soft_vcpu *v = (struct soft_vcpu *)vcpu;
    memcpy(ram + CODE, code, sizeof(code));
    flat();
    CHECK_EQ(run(CODE), 0x12345678);
    CHECK_EQ(run(CODE), 0x12345678);
    CHECK_EQ(vcpu->run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(ram[0x10000], 2);
    CHECK(v->lock->blocks >= 8);
    CHECK(v->xl.blocks >= 3);

    /* The translation's constant, but not the guest's. */
    uint8_t *at = memmem(v->xl.rw + v->xl.first, v->xl.used - v->xl.first, code, 5);
    CHECK(at != NULL);
    if (at) {
        at[1]++;
        const char *text = report_of(CODE);
        CHECK_EQ(vcpu->run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
        CHECK(strstr(text, "difference") && strstr(text, "mov eax, 0x12345678"));
        CHECK(strstr(text, "mov eax, 0x12345679"));
        CHECK(strstr(text, "12345678          12345679"));
    }
    ops->destroy_vm(vm);
    ops->close(engine);
    free(ram);
    return unit_done("lockstep");
}
