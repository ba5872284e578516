/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA into code and data that a guest is using: another thread rewrites an instruction's immediate
 * and a word of data with ever higher numbers, through the call by which devices tell the engine,
 * while the guest executes the one and reads the other. What was acknowledged before the guest
 * serialized must be seen; at no time anything that was not yet written, or an older number again.
 * [SDM] 3A "Handling Self- and Cross-Modifying Code"
 *
 * In ring 0 and 3; with the instruction in the caller's page, in another, and across a page's end;
 * by the emulator and all kinds of the translator, in the window, too.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/soft/soft.h"
#include "tests/unit/unit.h"

enum { RAM = 1 << 20, TABLES = 0x1000, STACK = 0x7000, CODE = 0x8000, WORDS = 0xc000 };
enum { GDT = 0x5000, WRITES = 100, PORT = 0xf4 };

/* Written by the thread but for the last two. */
struct words {
    _Atomic uint64_t acknowledged, begun, data, rounds, distinct;
};

/*
 * r12: the words, r14: the last number. Ends by OUT of 1, or with what was wrong: 2 an older number
 * than before, 3 than acknowledged, 4 one not yet written, 5 old data.
 */
#define MAIN(name, serialize, strict)                                                              \
    extern const uint8_t name[], name##_call[], name##_end[];                                      \
    __asm__(".pushsection .rodata\n" #name ":\n"                                                   \
            "1: mov (%r12), %r15\n" serialize #name "_call:\n"                                     \
            "call 9f\n9:\n"                                                                        \
            "mov $2, %cl\n cmp %r14d, %eax\n jb 8f\n" strict                                       \
            "mov $4, %cl\n cmp 8(%r12), %eax\n ja 8f\n"                                            \
            "cmp %r14d, %eax\n je 2f\n incq 32(%r12)\n 2: mov %eax, %r14d\n"                       \
            "incq 24(%r12)\n"                                                                      \
            "cmp $100, %r15d\n jne 1b\n"                                                           \
            "mov $1, %cl\n"                                                                        \
            "8: mov %ecx, %eax\n out %al, $0xf4\n" #name "_end:\n.popsection\n")
#define STRICT                                                                                     \
    "mov $3, %cl\n cmp %r15d, %eax\n jb 8f\n"                                                      \
    "mov $5, %cl\n cmp %r15, 16(%r12)\n jb 8f\n"

MAIN(by_cpuid, "xor %eax, %eax\n cpuid\n", STRICT);
MAIN(by_iret,
     "mov %rsp, %rdx\n mov %ss, %ecx\n push %rcx\n push %rdx\n pushfq\n mov %cs, %ecx\n"
     "push %rcx\n lea 3f(%rip), %rcx\n push %rcx\n iretq\n 3:\n",
     STRICT);
MAIN(not_serialized, "", "");
_Static_assert(WRITES == 100, "as in MAIN");

static const struct {
    const char *name;
    const uint8_t *code, *call, *end;
} mains[] = { { "CPUID", by_cpuid, by_cpuid_call, by_cpuid_end },
              { "IRET", by_iret, by_iret_call, by_iret_end },
              { "nothing", not_serialized, not_serialized_call, not_serialized_end } };

struct machine {
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    uint8_t *ram;
    uint64_t immediate;
    _Atomic bool ended;
};

static const struct engine_ops *const ops = &engine_soft;

static struct words *words_of(const struct machine *m)
{
    return (struct words *)(void *)(m->ram + WORDS);
}

/* Most numbers are given the time to be executed, some follow each other at once. */
static void *device(void *arg)
{
    struct machine *m = arg;
    struct words *w = words_of(m);

    for (uint32_t n = 1; n <= WRITES; n++) {
        const uint64_t rounds = w->rounds;
        while (n % 4 && w->rounds < rounds + n % 3 && !m->ended)
            sched_yield();
        w->begun = n;
        atomic_store((_Atomic uint32_t *)(void *)(m->ram + m->immediate), n);
        ops->memory_written(m->vm, m->immediate, 4);
        w->data = n;
        ops->memory_written(m->vm, WORDS + offsetof(struct words, data), 8);
        w->acknowledged = n;
    }
    return NULL;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, unsigned ring, bool l)
{
    return (struct kvm_segment){ .limit = 0xffffffff,
                                 .selector = (uint16_t)(selector | ring),
                                 .type = type,
                                 .present = 1,
                                 .dpl = (uint8_t)ring,
                                 .db = !l,
                                 .l = l,
                                 .s = 1,
                                 .g = 1 };
}

static void start(struct machine *m, unsigned ring)
{
    const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00affb000000ffff,
                             0x00cff3000000ffff };
    const uint16_t cs = ring ? 0x18 : 0x08, ss = ring ? 0x20 : 0x10;
    const struct kvm_regs r = {
        .rip = CODE, .rflags = ring ? 0x3002 : 2, .rsp = STACK, .r12 = WORDS
    };
    struct kvm_sregs s;

    memcpy(m->ram + GDT, gdt, sizeof(gdt));
    for (unsigned i = 0; i < 3; i++)
        le64_put(m->ram + TABLES + 0x1000 * i, (TABLES + 0x1000 * (i + 1)) | 7);
    for (unsigned i = 0; i < RAM / 4096; i++)
        le64_put(m->ram + TABLES + 0x3000 + 8 * i, (uint64_t)i << 12 | 7);
    CHECK_EQ(ops->get_sregs(m->vcpu, &s), 0);
    s.cs = segment(cs, 11, ring, true);
    s.ss = s.ds = s.es = segment(ss, 3, ring, false);
    s.gdt.base = GDT;
    s.gdt.limit = sizeof(gdt) - 1;
    s.cr0 = 0x80010033;
    s.cr3 = TABLES;
    s.cr4 = 0x620;
    s.efer = 0xd00;
    CHECK_EQ(ops->set_sregs(m->vcpu, &s), 0);
    CHECK_EQ(ops->set_regs(m->vcpu, &r), 0);
}

/* The instruction is at `at`, behind it RET. */
static void one(struct engine *engine, const char *name, unsigned kind, unsigned ring, uint64_t at)
{
    struct machine m = { .immediate = at + 1 };
    const unsigned size = (unsigned)(mains[kind].end - mains[kind].code);
    const unsigned call = (unsigned)(mains[kind].call - mains[kind].code);
    const uint8_t function[] = { 0xb8, 0, 0, 0, 0, 0xc3 };
    pthread_t thread;

    m.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(m.ram != MAP_FAILED);
    const struct kvm_userspace_memory_region r = { .memory_size = RAM,
                                                   .userspace_addr = (uintptr_t)m.ram };
    memcpy(m.ram + CODE, mains[kind].code, size);
    le32_put(m.ram + CODE + call + 1, (uint32_t)(at - (CODE + call + 5)));
    memcpy(m.ram + at, function, sizeof(function));
    CHECK_EQ(ops->create_vm(engine, &m.vm), 0);
    CHECK_EQ(ops->set_user_memory_region(m.vm, &r), 0);
    CHECK_EQ(ops->create_vcpu(m.vm, 0, &m.vcpu), 0);
    struct soft_vcpu *v = (struct soft_vcpu *)m.vcpu;
    v->xl.cold_runs = 0;
    start(&m, ring);
    CHECK_EQ(pthread_create(&thread, NULL, device, &m), 0);
    CHECK_EQ(ops->run(m.vcpu), 0);
    m.ended = true;
    pthread_join(thread, NULL);
    const struct words *w = words_of(&m);
    const uint8_t result = *((const uint8_t *)m.vcpu->run + m.vcpu->run->io.data_offset);
    if (m.vcpu->run->exit_reason != KVM_EXIT_IO || result != 1 || w->distinct < WRITES / 4)
        printf("%s, serialized by %s, ring %u, instruction at %#llx: exit %u, result %u, "
               "%llu rounds, %llu numbers\n",
               name, mains[kind].name, ring, (unsigned long long)at, m.vcpu->run->exit_reason,
               result, (unsigned long long)w->rounds, (unsigned long long)w->distinct);
    CHECK_EQ(m.vcpu->run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(result, 1);
    CHECK(w->distinct >= WRITES / 4);
    CHECK(!v->xl.on || v->xl.blocks);
    ops->destroy_vm(m.vm);
    munmap(m.ram, RAM);
}

int main(void)
{
    static const struct {
        const char *name;
        struct engine_options options;
    } way[] = {
        { "emulator", { .soft = "interp" } },
        { "translator", { .soft = "translate", .soft_no_window = true } },
        { "nobmi2", { .soft = "translate", .soft_no_bmi2 = true, .soft_no_window = true } },
        { "window", { .soft = "translate", .soft_window = true } },
        { "small cache",
          { .soft = "translate", .soft_no_window = true, .soft_cache = XL_CODE_MIN } },
    };
    static const uint64_t at[] = { CODE + 0x803, CODE + 0x1803, CODE + 0x1fff };

    for (unsigned i = 0; i < ARRAY_LEN(way); i++) {
        struct engine *engine;
        CHECK_EQ(ops->open(&engine, &way[i].options), 0);
        for (unsigned kind = 0; kind < ARRAY_LEN(mains); kind++)
            for (unsigned ring = 0; ring < 4; ring += 3)
                for (unsigned k = 0; k < ARRAY_LEN(at); k++)
                    one(engine, way[i].name, kind, ring, at[k]);
        ops->close(engine);
    }
    return unit_done("xl dma");
}
