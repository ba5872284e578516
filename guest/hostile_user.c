/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile program at ring 3 under a kernel that counts what becomes of its attempts: pointers to
 * wherever a monitor might live, every opcode with every kind of operand, Linux system calls by
 * every door. It must only ever meet the guest's own faults, and learn no address of the host's.
 * This part has the kernel, and what ring 0 itself may try. 64-bit.
 */
#include "guest/hostile_user.h"

uint64_t pd_code[512] __attribute__((aligned(4096)));
uint64_t pt_data[512] __attribute__((aligned(4096)));
uint8_t data[4 * 4096] __attribute__((aligned(4096)));

/* ---- one attempt: in with registers, out by any trap ---- */

struct regs in, out;
uint64_t error, cr2;
static uint64_t begun;
uint64_t vector, syscall_ip, attack_sp;
unsigned attempts;
static unsigned age, armed, counted[257];
uint64_t sweep_end, sweep_good;

void attack(struct regs *);
_Noreturn void attack_leave(void);
extern uint8_t syscall_entry[], sysenter_entry[];
__asm__("attack: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15;"
        "mov %rsp, attack_sp; mov %rdi, %rsp;"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8;"
        "pop %rdi; pop %rsi; pop %rbp; pop %rdx; pop %rcx; pop %rbx; pop %rax; iretq;"
        "attack_leave: mov attack_sp, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp;"
        "pop %rbx; cld; ret;"
        "syscall_entry: mov %rcx, syscall_ip; movq $0x100, vector; jmp attack_leave;"
        "sysenter_entry: movq $0x100, vector; jmp attack_leave;");

static void on_trap(struct trap_frame *f)
{
    if (f->vector == V_TIMER) {
        pic_eoi(0);
        if (!armed || sweep_end || ++age < 10 || rdtsc() - begun < 20000000)
            return;
    }
    if (sweep_end && f->ip != sweep_end && (f->vector == V_PF || f->vector == V_GP)) {
        sweep_good += f->vector == V_GP ? !f->error : READ_CR(2) == f->di && (f->error & 4);
        f->ip = f->bx;
        return;
    }
    if (!armed) {
        print("a trap in the kernel: ");
        print_hex(f->vector);
        print(" at ");
        print_hex(f->ip);
        print("\n");
        report("no trap in the kernel", false);
        finish();
    }
    __builtin_memcpy(&out, f, 15 * 8);
    out.ip = f->ip;
    out.cs = f->cs;
    out.flags = f->flags;
    out.sp = f->sp;
    vector = f->vector;
    error = f->error;
    cr2 = READ_CR(2);
    attack_leave();
}

bool vector_state, bases_known;
void try(void)
{
    static uint8_t clean[512] __attribute__((aligned(16))) = { 0x7f, 3, [24] = 0x80, 0x1f };
    static struct {
        uint8_t room[4096]; /* for the frame of an IRETQ that faults */
        struct regs r;
    } gate __attribute__((aligned(16)));

    attempts++;
    /* A tick may mean that the machine was busy elsewhere; three mean a loop. */
    for (unsigned i = 0; i < 3; i++) {
        gate.r = in;
        for (unsigned k = 0; k < 15; k++)
            (&out.r15)[k] = 0;
        age = 0;
        begun = rdtsc();
        if (vector_state)
            __asm__ volatile("vzeroupper" ::: "memory");
        __asm__ volatile("fxrstor64 %0" ::"m"(clean));
        armed = 1;
        attack(&gate.r);
        armed = 0;
        if (vector != V_TIMER)
            break;
        data_fresh();
    }
    counted[vector <= 256 ? vector : 256]++;
}

/* ---- the program's memory ---- */

static uint32_t seed = 88172645;
uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

bool compat;
uint64_t code_at;
uint8_t *code_alias;
unsigned code_used;

void code_new(void)
{
    static unsigned page;
    for (unsigned i = 0; i < code_used; i++)
        code_alias[i] = HLT;
    page = (page + 1) % (CODE_PAGES - 1);
    uint64_t off =
        page * 4096ul + (attempts % 16 ? attempts * 37 % 3900 : 4094 - attempts / 16 % 12);
    code_at = CODE + off;
    code_alias = (uint8_t *)(FRAMES + off);
    code_used = 0;
}
void put(uint8_t b) { code_alias[code_used++] = b; }
void put32(uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        put((uint8_t)(v >> 8 * i));
}
void put64(uint64_t v)
{
    put32((uint32_t)v);
    put32((uint32_t)(v >> 32));
}
void put_bytes(const char *s, unsigned n)
{
    while (n--)
        put((uint8_t)*s++);
}

void data_fresh(void)
{
    for (unsigned i = 0; i < 4; i++) {
        if (!(pt_data[i] & 0x40))
            continue;
        uint64_t *p = (uint64_t *)(void *)(data + i * 4096), n = 512;
        __asm__ volatile("rep stosq" : "+D"(p), "+c"(n) : "a"(0x1111111111111111) : "memory");
        pt_data[i] &= ~0x40ul;
        __asm__ volatile("invlpg (%0)" ::"r"(DATA + i * 4096) : "memory");
    }
}

void registers(uint64_t v)
{
    uint64_t *r = &in.r15;
    for (unsigned i = 0; i < 15; i++)
        r[i] = v;
    in.cs = compat ? COMPAT3 : CODE3;
    in.ss = DATA3;
    in.sp = STACK - 0x800;
    in.flags = 0x202;
    in.ip = code_at;
}

void line(const char *what, uint64_t n)
{
    print("   ");
    print(what);
    print(" ");
    print_hex(n);
    print("\n");
}

static unsigned complaints;
void complain(const char *what, uint64_t at)
{
    if (++complaints > 20)
        return;
    print("   ");
    print(what);
    print(" at ");
    print_hex(at);
    print(": trap ");
    print_hex(vector);
    print(" error ");
    print_hex(error);
    print(" ip ");
    print_hex(out.ip);
    print(" cr2 ");
    print_hex(cr2);
    print("\n");
}

uint64_t hash;
void fold(uint64_t v) { hash = (hash ^ v) * 0x9e3779b97f4a7c15 + (hash >> 29); }

/* ---- at ring 0, and by its tables ---- */

static void ring0(void)
{
    static uint8_t stack0[8192] __attribute__((aligned(16)));
    static const struct code code[] = {
        I("\x48\x0f\x07", 'r'),                         /* sysret to a wild rcx */
        I("\x6a\x43\x53\x9c\x6a\x4b\x51\x48\xcf", 'r'), /* iretq there, to ring 3 */
        I("\x6a\x10\x53\x9c\x6a\x08\x51\x48\xcf", 'r'), /* … to ring 0 */
        I("\x6a\x08\x51\x48\xcb", 'r'),
        I("\x51\xc3", 'r'),
        I("\xff\xe1", 'r'),
        I("\xff\xd1", 'r'),
        I("\x48\x8b\x01", 'r'),
        I("\x48\x89\x01", 'r'),
        I("\x0f\x01\xc1", 'U'), /* vmcall */
        I("\x0f\x01\xd9", 'U'),
        I("\x0f\x01\xc2", 'U'),
        I("\x0f\x01\xd8", 'E'),
        I("\x0f\x01\xcf", 'U'),
        I("\x0f\x37", 'U'),
        I("\x0f\xaa", 'U'),
        I("\xcd\x80", '8'),
    };
    bool good = true;
    for (unsigned k = 0; k < 12; k++) {
        uint64_t v = k < 6 ? noncanonical[k] : 0x7f0000000000 + k * 0x100fff000ul;
        for (unsigned i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
            code_new();
            put_bytes(code[i].bytes, code[i].len);
            registers(v);
            in.cs = CODE0;
            in.ss = DATA0;
            in.sp = in.bx = (uintptr_t)stack0 + 4096;
            in.flags = 2;
            in.r11 = 0x202;
            try();
            bool ok = code[i].want == 'U' || code[i].want == 'E'
                          ? vector == V_UD || (code[i].want == 'E' && vector == V_GP)
                      : code[i].want == '8' ? vector == 0x80
                      : k < 6               ? vector == V_GP
                                            : vector == V_PF && cr2 == v;
            if (!ok) {
                complain("at ring 0", v);
                line("way", i);
                good = false;
            }
        }
        /* The system call's entry at a wild place. */
        if (k >= 6) {
            wrmsr(0xc0000082, v);
            code_new();
            put_bytes("\x0f\x05", 2);
            registers(0);
            try();
            good &= vector == V_PF && cr2 == v && !(error & 4);
            wrmsr(0xc0000082, (uintptr_t)syscall_entry);
        }
    }
    report("wild jumps at ring 0 only fault", good);

    bool known = true, same = true;
    for (uint32_t i = 0; i < 0x4000; i++) {
        code_new();
        put_bytes("\x0f\x32\xf4", 3);
        registers(0);
        in.cs = CODE0;
        in.ss = DATA0;
        in.sp = (uintptr_t)stack0 + 4096;
        in.flags = 2;
        put_bytes("\xcd\x80", 2);
        code_alias[2] = 0x90;
        in.cx = i < 0x2000 ? i : 0xc0000000 + (i & 0x1fff);
        try();
        known &= vector == V_GP || (vector == 0x80 && !is_host(out.dx << 32 | out.ax));
    }
    report("no MSR holds a host address", known);

    /* Page tables that lead to where there is no memory. */
    for (unsigned i = 0; i < 4000; i++) {
        uint64_t phys =
            i < 2000 ? (uint64_t)i << 34 : ((uint64_t)rnd() << 20 ^ rnd()) & 0xfffffffffffff;
        phys |= 1ul << 35; /* neither memory nor devices below 4 GB, nor those right above */
        pd_code[136] = (phys & 0xfffffffe00000) | 0x87;
        pdpt[5] = i & 1 ? (phys & 0xffffffffff000) | 7 : 0;
        WRITE_CR(3, READ_CR(3));
        code_new();
        put_bytes(i % 3 == 0 ? "\x48\x8b\x07" : i % 3 == 1 ? "\x48\x89\x07" : "\xff\xe7\x90", 3);
        registers(i & 1 ? 5ul << 30 : CODE + (136ul << 21));
        try();
        same &=
            vector == V_PF || vector == V_GP || vector == V_UD || vector == V_TIMER || vector == 0;
    }
    pd_code[136] = pdpt[5] = 0;
    WRITE_CR(3, READ_CR(3));
    report("memory that is not there", same);
}

static void setup(void)
{
    static uint64_t gdt[12];
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } p;
    tables_init();
    for (unsigned i = 0; i < 256; i++)
        trap_handler[i] = on_trap;
    __asm__ volatile("sgdt %0" : "=m"(p));
    for (unsigned i = 0; i < 8; i++)
        gdt[i] = ((uint64_t *)p.base)[i];
    gdt[8] = gdt[4];
    gdt[9] = gdt[3];
    gdt[10] = 0x00cffb000000ffff; /* 32-bit code */
    p.limit = sizeof(gdt) - 1;
    p.base = (uintptr_t)gdt;
    __asm__ volatile("lgdt %0" ::"m"(p));
    wrmsr(0xc0000081, (uint64_t)(0x38 | 3) << 48 | (uint64_t)CODE0 << 32);
    wrmsr(0xc0000082, (uintptr_t)syscall_entry);
    wrmsr(0xc0000084, 0x47700);
    wrmsr(0x174, CODE0);
    wrmsr(0x175, 0x90000);
    wrmsr(0x176, (uintptr_t)sysenter_entry);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
    WRITE_CR(0, READ_CR(0) | 0x50000); /* AM, WP */
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (c >> 26 & 1) {
        WRITE_CR(4, READ_CR(4) | 1 << 18);
        a = 13;
        c = 0;
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        __asm__ volatile("xsetbv" ::"a"(a), "d"(d), "c"(0));
        vector_state = a & 4;
    }
    a = 7;
    c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    bases_known = b & 1; /* FSGSBASE */
    if (bases_known)
        WRITE_CR(4, READ_CR(4) | 1 << 16);

    for (unsigned i = 0; i < 512; i++)
        pd[i] &= ~4ul;
    for (unsigned i = 0; i < CODE_PAGES / 512; i++)
        pd_code[i] = (FRAMES + i * (2ul << 20)) | 0x85;
    for (unsigned i = 0; i < 4; i++)
        pt_data[i] = ((uintptr_t)data + i * 4096) | 7 | 1ul << 63;
    pdpt[1] = (uintptr_t)pd_code | 7;
    pd_code[(DATA >> 21) & 511] = (uintptr_t)pt_data | 7;
    WRITE_CR(3, pml4);
    uint8_t *p8 = (uint8_t *)FRAMES;
    uint64_t n = CODE_PAGES * 4096ul;
    __asm__ volatile("rep stosb" : "+D"(p8), "+c"(n) : "a"(HLT) : "memory");
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %1, %%fs; mov %1, %%gs" ::"r"(DATA3),
                     "r"(0)); /* which 32-bit code uses */
    pic_init();
    pit_periodic(1000);
    pic_unmask(0);
}

void guest_main(void)
{
    setup();
    code_alias = (uint8_t *)FRAMES;
#ifdef MAPS
    monitors_own();
#endif
    groups();
    pointers();
    instructions();
    ring0();
    opcodes();
    compat = true;
    opcodes();
    for (unsigned i = 0; i < 257; i++)
        if (counted[i]) {
            print("   trap ");
            print_hex(i);
            line(":", counted[i]);
        }
    line("attempts", attempts);
    report("the kernel is whole", pml4[0] && (pdpt[1] & ~0x60ul) == ((uintptr_t)pd_code | 7));
}
