/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile program at ring 3 under a kernel that counts what becomes of its attempts: pointers to
 * wherever a monitor might live, every opcode with every kind of operand, Linux system calls by
 * every door. It must only ever meet the guest's own faults, and learn no address of the host's.
 * -DMAPS: asks on the serial port for further ranges to try, the monitor's own. 64-bit.
 */
#include "guest/lib/guest.h"

enum { CODE0 = 0x08, DATA0 = 0x10, DATA3 = 0x43, CODE3 = 0x4b, COMPAT3 = 0x53 };
enum { V_DB = 1, V_UD = 6, V_SS = 12, V_GP = 13, V_PF = 14, V_TIMER = 0x20, V_SYSCALL = 0x100 };
enum { CODE_PAGES = 4096, HLT = 0xf4 };

#define CODE   0x40000000ul /* of the program: code, read-only, and … */
#define DATA   0x50000000ul /* … two pages of data and two of stack */
#define STACK  0x50004000ul
#define FRAMES (40ul << 20) /* where the code lies physically */

static const uint64_t noncanonical[] = {
    0x0000800000000000, 0x0000800000000fff, 0x8000000000000000,
    0xffff7fffffffffff, 0x00ff000000001000, 0x7fffffffffffffff
};

extern uint64_t pml4[], pdpt[], pd[];
static uint64_t pd_code[512] __attribute__((aligned(4096)));
static uint64_t pt_data[512] __attribute__((aligned(4096)));
static uint8_t data[4 * 4096] __attribute__((aligned(4096)));

/* ---- one attempt: in with registers, out by any trap ---- */

struct regs {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, dx, cx, bx, ax;
    uint64_t ip, cs, flags, sp, ss;
};
static struct regs in, out;
static uint64_t error, cr2, begun;
uint64_t vector, syscall_ip, attack_sp;
static unsigned age, armed, attempts, counted[257];
static uint64_t sweep_end, sweep_good; /* not 0: faults before sweep_end are checked and counted */

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

static bool vector_state, bases_known;
static void data_fresh(void);
static void try(void)
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
static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static bool compat; /* the program is 32-bit code */
static uint64_t code_at;
static uint8_t *code_alias;
static unsigned code_used;

/* A fresh place, all HLT, so that what runs on ends there. */
static void code_new(void)
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
static void put(uint8_t b) { code_alias[code_used++] = b; }
static void put32(uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        put((uint8_t)(v >> 8 * i));
}
static void put64(uint64_t v)
{
    put32((uint32_t)v);
    put32((uint32_t)(v >> 32));
}
static void put_bytes(const char *s, unsigned n)
{
    while (n--)
        put((uint8_t)*s++);
}

/* Data and stack as they were. */
static void data_fresh(void)
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

static bool is_host(uint64_t v) { return v >= 0x550000000000 && v < 0x800000000000; }

static void registers(uint64_t v)
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

static void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}
static uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

static void line(const char *what, uint64_t n)
{
    print("   ");
    print(what);
    print(" ");
    print_hex(n);
    print("\n");
}

/* ---- wild pointers ---- */

static unsigned complaints;
static void complain(const char *what, uint64_t at)
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

/* Loads, then stores at n addresses, step apart; each must fault, at its own address. */
static bool sweep(uint64_t from, uint64_t step, uint64_t n)
{
    /* access [rdi]; add rdi, rsi; dec ecx; jnz */
    static const char *const loop[] = { "\x8a\x07\x48\x01\xf7\xff\xc9\x75\xf7",
                                        "\x48\xf7\x17\x48\x01\xf7\xff\xc9\x75\xf6" };
    bool good = true;
    for (unsigned kind = 0; kind < 2; kind++) {
        code_new();
        put_bytes(loop[kind], 9 + kind);
        put(HLT);
        registers(0);
        in.di = from;
        in.si = step;
        in.cx = n;
        in.bx = code_at + 2 + kind;
        sweep_good = 0;
        sweep_end = code_at + 9 + kind;
        try();
        sweep_end = 0;
        if (sweep_good != n) {
            complain("sweep", from);
            line("faults", sweep_good);
            good = false;
        }
    }
    return good;
}

struct code {
    const char *bytes;
    uint8_t len;
    char want;
};
#define I(bytes, want)                                                                             \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, want                                                             \
    }

/* Ways to reach what rdi, rsi, rbx, rbp point to. 's': rsp too. 'x': by a branch. 'a': maybe #UD.
 */
static const struct code reach[] = {
    I("\x8a\x07", 'm'),                 /* mov al, [rdi] */
    I("\x48\x8b\x07", 'm'),             /* mov rax, [rdi] */
    I("\x88\x07", 'm'),                 /* mov [rdi], al */
    I("\x48\x31\x07", 'm'),             /* xor [rdi], rax */
    I("\xf0\x48\x0f\xc1\x07", 'm'),     /* lock xadd */
    I("\xf0\x48\x0f\xb1\x07", 'm'),     /* lock cmpxchg */
    I("\xf0\x48\x0f\xc7\x0f", 'm'),     /* lock cmpxchg16b */
    I("\x48\x87\x07", 'm'),             /* xchg */
    I("\x48\x0f\xba\x2f\x05", 'm'),     /* bts qword [rdi], 5 */
    I("\xf3\xa4", 'm'),                 /* rep movsb */
    I("\xf3\x48\xab", 'm'),             /* rep stosq */
    I("\xac", 'm'),                     /* lodsb */
    I("\xf2\xae", 'm'),                 /* repne scasb */
    I("\xf3\xa6", 'm'),                 /* repe cmpsb */
    I("\xff\x37", 'm'),                 /* push [rdi] */
    I("\x8f\x07", 'm'),                 /* pop [rdi] */
    I("\xff\x17", 'm'),                 /* call [rdi] */
    I("\xff\x27", 'm'),                 /* jmp [rdi] */
    I("\x48\xff\x2f", 'm'),             /* far jmp [rdi] */
    I("\xc9", 'm'),                     /* leave */
    I("\xd7", 'm'),                     /* xlat */
    I("\x64\x8a\x07", 'm'),             /* fs: */
    I("\x65\x8a\x07", 'm'),             /* gs: */
    I("\x65\x48\x89\x07", 'm'),         /* gs: store */
    I("\x66\x65\x2e\x8b\x07", 'm'),     /* several prefixes */
    I("\x0f\xae\x3f", 'm'),             /* clflush */
    I("\x0f\xc3\x07", 'm'),             /* movnti */
    I("\x0f\x10\x07", 'm'),             /* movups */
    I("\x0f\x11\x07", 'm'),             /* its store */
    I("\x66\x0f\x6f\x07", 'm'),         /* movdqa */
    I("\xf2\x0f\x58\x07", 'm'),         /* addsd */
    I("\x66\x0f\xe7\x07", 'm'),         /* movntdq */
    I("\xd9\x07", 'm'),                 /* fld */
    I("\xdf\x3f", 'm'),                 /* fistp */
    I("\xd9\x37", 'm'),                 /* fnstenv */
    I("\xdd\x37", 'm'),                 /* fnsave */
    I("\xdd\x27", 'm'),                 /* frstor */
    I("\x0f\xae\x07", 'm'),             /* fxsave */
    I("\x48\x0f\xae\x0f", 'm'),         /* fxrstor */
    I("\x48\x0f\xae\x27", 'a'),         /* xsave */
    I("\x48\x0f\xae\x2f", 'a'),         /* xrstor */
    I("\xc5\xfc\x10\x07", 'a'),         /* vmovups ymm */
    I("\xc5\xfc\x11\x07", 'a'),         /* its store */
    I("\xc4\xe2\x7d\x18\x07", 'a'),     /* vbroadcastss */
    I("\xc4\xe2\xf3\xf5\x07", 'a'),     /* pdep */
    I("\x62\xf1\x7c\x48\x10\x07", 'a'), /* vmovups zmm */
    I("\x62\xf1\x7c\x48\x11\x07", 'a'), /* its store */
    I("\x58", 's'),                     /* pop rax */
    I("\x5c", 's'),                     /* pop rsp */
    I("\x50", 's'),                     /* push rax */
    I("\x68\x05\x06\x07\x08", 's'),     /* push imm */
    I("\x9c", 's'),                     /* pushf */
    I("\x9d", 's'),                     /* popf */
    I("\xc3", 's'),                     /* ret */
    I("\xc2\x10\x00", 's'),             /* ret 16 */
    I("\x48\xcb", 's'),                 /* far ret */
    I("\x48\xcf", 's'),                 /* iretq */
    I("\xe8\x01\x00\x00\x00", 's'),     /* call */
    I("\xc8\x10\x00\x02", 's'),         /* enter */
    I("\xff\xd7", 'x'),                 /* call rdi */
    I("\xff\xe7", 'x'),                 /* jmp rdi */
    I("\x57\xc3", 'x'),                 /* push rdi; ret */
    I("\x57\xf3\xc3", 'x'),
    I("\x6a\x4b\x57\x48\xcb", 'x'),                 /* far ret to ring 3 */
    I("\x6a\x43\x50\x9c\x6a\x4b\x57\x48\xcf", 'x'), /* iretq to ring 3 */
};

static bool is_canonical(uint64_t v) { return (uint64_t)((int64_t)(v << 16) >> 16) == v; }

static bool reach_at(uint64_t v)
{
    const bool canonical = is_canonical(v);
    bool good = true;
    for (unsigned i = 0; i < sizeof(reach) / sizeof(reach[0]); i++) {
        const struct code *c = &reach[i];
        code_new();
        put_bytes(c->bytes, c->len);
        registers(v);
        if (c->want == 's')
            in.sp = v;
        else if (c->want == 'x')
            in.ax = in.sp;
        data_fresh();
        try();
        bool ok = (vector == V_PF && cr2 - (v - 64) < 64 + 4096 && (error & 4)) ||
                  ((!canonical || !is_canonical(v - 64)) && (vector == V_GP || vector == V_SS));
        if (c->want == 'a')
            ok |= vector == V_UD && out.ip == code_at;
        if (!ok) {
            complain("reach", v);
            line("way", i);
            good = false;
        }
    }
    /* By an address in the instruction, and by a segment's base. */
    for (unsigned i = 0; i < 2; i++) {
        code_new();
        put(0x48);
        put(i ? 0xa3 : 0xa1);
        put64(v);
        registers(0);
        try();
        good &= canonical ? vector == V_PF && cr2 == v : vector == V_GP;
    }
    for (unsigned i = 0; i < 2 && canonical; i++) {
        wrmsr(0xc0000100 + i, v);
        code_new();
        put(0x64 + (uint8_t)i);
        put_bytes("\x8b\x04\x25\x00\x00\x00\x00", 7);
        registers(0);
        try();
        good &= vector == V_PF && cr2 == v;
        wrmsr(0xc0000100 + i, 0);
    }
    return good;
}

/* The same address in the guest's own tables leads to the guest's page and nowhere else. */
static bool mapped_at(uint64_t v)
{
    static uint64_t table[3][512] __attribute__((aligned(4096)));
    const unsigned top = v >> 39 & 511;
    if (pml4[top] || v >> 47)
        return true;
    pml4[top] = (uintptr_t)table[0] | 7;
    table[0][v >> 30 & 511] = (uintptr_t)table[1] | 7;
    table[1][v >> 21 & 511] = (uintptr_t)table[2] | 7;
    table[2][v >> 12 & 511] = (uintptr_t)data | 7;
    code_new();
    put_bytes("\x48\x8b\x07\x48\x89\x47\x08\x48\x29\x07",
              10); /* rax = [rdi]; [rdi+8] = rax; [rdi] -= rax */
    registers(v);
    ((uint64_t *)data)[0] = v ^ 0x5555;
    ((uint64_t *)data)[1] = 0;
    try();
    bool good = vector == V_GP && out.ip == code_at + 10 && out.ax == (v ^ 0x5555) &&
                ((uint64_t *)data)[0] == 0 && ((uint64_t *)data)[1] == (v ^ 0x5555);
    if (!good)
        complain("mapped", v);
    pml4[top] = 0;
    table[0][v >> 30 & 511] = table[1][v >> 21 & 511] = table[2][v >> 12 & 511] = 0;
    WRITE_CR(3, READ_CR(3));
    return good;
}

static void pointers(void)
{
    static const uint64_t like[] = { 0x10000,
                                     0x400000,
                                     0x555555554000,
                                     0x5555556a0000,
                                     0x560000000000,
                                     0x55d0c0de0000,
                                     0x7f0000000000,
                                     0x7f8000000000,
                                     0x7ffff7fc1000,
                                     0x7ffff7ffd000,
                                     0x7ffffffde000,
                                     0x7fffffffe000,
                                     0x7ffff7a00000,
                                     0x7fff7fff8000,
                                     0x10007fff8000,
                                     0x600000000000,
                                     0x200000000000,
                                     0xffffffffff600000,
                                     0xffff888000000000,
                                     0xffffffff81000000,
                                     0xfffffffffffff000,
                                     0xffff800000000000 };
    bool good = true, wild = true, own = true;
    good &= sweep(0x80000000, 1 << 30, 0x1fffe);          /* the lower half */
    good &= sweep(0xffff800000000000, 1ul << 33, 0x4000); /* the upper half */
    for (unsigned i = 0; i < sizeof(like) / sizeof(like[0]); i++)
        if (like[i] >= 1 << 30)
            good &=
                sweep(like[i], like[i] >> 63 ? 4096 : 0x200000, 2000 / (1 + (like[i] >> 47 != 0)));
    good &= sweep(0x7ffffff00000, 4096, 256);   /* up to the end of the lower half */
    good &= sweep(0x00007ffffffff000, 64, 128); /* … and across */
    good &= sweep(0x8000000000000000, 1ul << 48, 0x7000);
    report("sweeps over both halves only fault", good);
    for (unsigned i = 0; i < sizeof(like) / sizeof(like[0]); i++)
        wild &= reach_at(like[i]);
    for (unsigned i = 0; i < sizeof(noncanonical) / sizeof(noncanonical[0]); i++)
        wild &= reach_at(noncanonical[i]);
    report("every way to addresses like a monitor's only faults", wild);
    for (unsigned i = 0; i < sizeof(like) / sizeof(like[0]); i++)
        if (like[i] > 1ul << 39)
            own &= mapped_at(like[i]);
    report("mapped by the guest, they are the guest's", own);
}

#ifdef MAPS
static char get(void)
{
    while (!(inb(0x3fd) & 1))
        ;
    return (char)inb(0x3f8);
}

static uint64_t get_hex(void)
{
    uint64_t v = 0;
    char c = get();
    while (c == ' ' || c == '\n')
        c = get();
    for (; c != ' ' && c != '\n'; c = get())
        v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    return v;
}

/* Start and end of each range, in hex; 0 0 ends the list. */
static void monitors_own(void)
{
    static uint64_t range[512][2];
    unsigned n = 0;
    bool good = true;
    print("maps?\n");
    do {
        range[n][0] = get_hex();
        range[n][1] = get_hex();
    } while (range[n][1] && ++n < 512);
    for (unsigned i = 0; i < n; i++) {
        uint64_t pages = (range[i][1] - range[i][0]) >> 12, step = 1 + pages / 4096;
        if (range[i][0] < 1ul << 39)
            continue;
        good &= sweep(range[i][0], step << 12, pages / step);
        good &= reach_at(range[i][0]) && reach_at(range[i][1] - 4096) && mapped_at(range[i][0]);
        good &= reach_at(range[i][0] + (pages / 2 << 12));
    }
    line("ranges of the monitor", n);
    report("the monitor's own addresses only fault", good && n > 10);
}
#endif

/* ---- instructions ---- */

/* 'G', 'U': #GP, #UD; 'E': either; 'S': the kernel's system call; 'N': none; '?': anything but a
 * leak. */
static const struct code ring3[] = {
    I("\x0f\x05", 'S'), /* syscall */
    I("\x0f\x34", 'S'), /* sysenter */
    I("\xcd\x80", 'G'), /* int 0x80 */
    I("\xcd\x00", 'G'),
    I("\xcd\x20", 'G'),
    I("\xcd\xff", 'G'),
    I("\xcc", 'G'),
    I("\xf1", '?'),     /* int1 */
    I("\xf4", 'G'),     /* hlt */
    I("\xfa", 'G'),     /* cli */
    I("\xfb", 'G'),     /* sti */
    I("\xe4\x80", 'G'), /* in */
    I("\xe6\xf4", 'G'), /* out to the exit port */
    I("\xef", 'G'),
    I("\x6c", 'G'),         /* insb */
    I("\x6f", 'G'),         /* outsd */
    I("\x0f\x32", 'G'),     /* rdmsr */
    I("\x0f\x30", 'G'),     /* wrmsr */
    I("\x0f\x33", 'G'),     /* rdpmc */
    I("\x0f\x01\x17", 'G'), /* lgdt */
    I("\x0f\x01\x1f", 'G'), /* lidt */
    I("\x0f\x00\xd0", 'G'), /* lldt */
    I("\x0f\x00\xd8", 'G'), /* ltr */
    I("\x0f\x01\xf0", 'G'), /* lmsw */
    I("\x0f\x06", 'G'),     /* clts */
    I("\x0f\x01\x3f", 'G'), /* invlpg */
    I("\x0f\x20\xc0", 'G'), /* mov rax, cr0 */
    I("\x0f\x22\xd8", 'G'), /* mov cr3, rax */
    I("\x0f\x21\xf8", 'G'), /* mov rax, dr7 */
    I("\x0f\x23\xf8", 'G'),
    I("\x0f\x08", 'G'),                             /* invd */
    I("\x0f\x09", 'G'),                             /* wbinvd */
    I("\x0f\x01\xd1", 'E'),                         /* xsetbv */
    I("\x0f\x01\xf8", 'E'),                         /* swapgs */
    I("\x48\x0f\x07", 'E'),                         /* sysret */
    I("\x48\x0f\x35", 'E'),                         /* sysexit */
    I("\x0f\x01\xc1", 'U'),                         /* vmcall */
    I("\x0f\x01\xd9", 'U'),                         /* vmmcall */
    I("\x0f\x01\xc2", 'U'),                         /* vmlaunch */
    I("\x0f\x01\xc4", 'U'),                         /* vmxoff */
    I("\x0f\x01\xd8", 'U'),                         /* vmrun */
    I("\x0f\x01\xda", 'U'),                         /* vmload */
    I("\x0f\x01\xdc", 'U'),                         /* stgi */
    I("\x0f\x01\xd4", 'U'),                         /* vmfunc */
    I("\x0f\x01\xcf", 'U'),                         /* encls */
    I("\x0f\x01\xd7", 'U'),                         /* enclu */
    I("\x0f\x01\xc0", 'U'),                         /* enclv */
    I("\x0f\x01\xd5", 'U'),                         /* xend */
    I("\x0f\x37", 'U'),                             /* getsec */
    I("\x0f\xaa", 'U'),                             /* rsm */
    I("\x0f\x0b", 'U'),                             /* ud2 */
    I("\x0f\xb9\xc0", 'U'),                         /* ud1 */
    I("\x0f\xff\xc0", 'U'),                         /* ud0 */
    I("\xc7\xf8\x00\x00\x00\x00", '?'),             /* xbegin */
    I("\xc6\xf8\x01", '?'),                         /* xabort */
    I("\x0f\x01\xd6", '?'),                         /* xtest */
    I("\x0f\x01\xee", '?'),                         /* rdpkru */
    I("\x0f\x01\xef", '?'),                         /* wrpkru */
    I("\x0f\x01\xd0", '?'),                         /* xgetbv */
    I("\x0f\x01\xf9", '?'),                         /* rdtscp */
    I("\x0f\x31", 'N'),                             /* rdtsc */
    I("\xf3\x0f\xc7\xf8", '?'),                     /* rdpid */
    I("\x48\x0f\xc7\xf0", '?'),                     /* rdrand */
    I("\xf3\x48\x0f\xae\xc0", '?'),                 /* rdfsbase */
    I("\xf3\x48\x0f\xae\xc8", '?'),                 /* rdgsbase */
    I("\xf3\x48\x0f\xae\xd8\x65\x48\x8b\x00", '?'), /* wrgsbase; mov rax, gs:[rax] */
    I("\x0f\x01\xca", 'E'),                         /* clac */
    I("\x0f\x01\xc8", '?'),                         /* monitor */
    I("\x0f\x01\xfa", '?'),                         /* monitorx */
    I("\x0f\x01\xe8", '?'),                         /* serialize */
    I("\xf3\x0f\xae\xf0", '?'),                     /* umonitor */
    I("\xf2\x0f\xae\xf0", '?'),                     /* umwait */
    I("\x66\x0f\xae\xf0", '?'),                     /* tpause */
    I("\xf3\x0f\x01\xec", '?'),                     /* uiret */
    I("\xf3\x0f\x01\xee", '?'),                     /* clui */
    I("\xf3\x0f\xc7\xf0", '?'),                     /* senduipi */
    I("\x66\x0f\x38\x82\x07", 'E'),                 /* invpcid */
    I("\x66\x0f\x38\x80\x07", 'U'),                 /* invept */
    I("\x66\x0f\x38\xf8\x07", '?'),                 /* movdir64b */
    I("\xf2\x0f\x38\xf8\x07", '?'),                 /* enqcmd */
    I("\xf3\x0f\x1e\xc8", '?'),                     /* rdssp */
    I("\xf3\x0f\x01\xea", '?'),                     /* saveprevssp */
    I("\xf3\x0f\x38\xfa\xc0", '?'),                 /* encodekey128 */
    I("\xc4\xe2\x78\x49\xc0", '?'),                 /* tilerelease */
    I("\x0f\x3f\x01\x02", 'U'), /* vpcext, which is a monitor's own door elsewhere */
    I("\x0f\xc7\xc8", 'U'),
    I("\xea\x00\x00\x00\x00\x08\x00", 'U'),
    I("\x06", 'U'),
    I("\x62\x00\x00\x00\x00\x00", 'U'),
    I("\xd6", 'U'),
    I("\xce", 'U'),
    I("\x6a\x08\x50\x48\xcb", '?'),                 /* far ret to ring 0 */
    I("\x6a\x10\x50\x9c\x6a\x08\x50\x48\xcf", '?'), /* iretq to ring 0 */
    I("\x8e\xd0", '?'),                             /* mov ss, eax */
    I("\x8e\xe8\x65\x8b\x00", '?'),                 /* mov gs, eax; gs:[rax] */
    I("\x0f\xb4\x07", '?'),                         /* lfs */
    I("\x0f\xb2\x27", '?'),                         /* lss rsp */
    I("\x0f\x02\xc0", '?'),                         /* lar */
    I("\x0f\x03\xc0", '?'),                         /* lsl */
    I("\x0f\x00\xe0", '?'),                         /* verr */
    I("\x31\xd2\x31\xc9\xf7\xf1", '?'),             /* div by 0 */
    I("\x0f\x01\x07", 'N'),                         /* sgdt */
    I("\x0f\x01\x0f", 'N'),                         /* sidt */
    I("\x0f\x01\xe0", 'N'),                         /* smsw */
    I("\x0f\x00\xc0", 'N'),                         /* sldt */
    I("\x0f\x00\xc8", 'N'),                         /* str */
    I("\x0f\xa2", 'N'),                             /* cpuid */
    I("\x9b\xd9\xe8\xd9\x37", 'N'),                 /* fld1; fnstenv */
    I("\xd9\xe8\xd9\xeb\xde\xc1\xdd\x17\x48\x0f\xae\x07",
      'N'),                                         /* x87 with a memory operand; fxsave64 */
    I("\x31\xd2\x83\xc8\xff\x48\x0f\xae\x27", 'N'), /* xsave64 */
    I("\x0f\x10\x07\x0f\x58\xc1\x0f\x11\x0f\x48\x0f\xae\x07", '?'),
    I("\x0f\x0d\x07\x0f\x18\x07\x0f\x1f\x07\x0f\xae\x3f", 'N'), /* prefetches, nop, clflush */
    I("\xf3\x0f\xae\xe0", '?'),                                 /* ptwrite */
    I("\x0f\x1c\x07", 'N'),                                     /* cldemote */
};

static bool leaks(void)
{
    const uint64_t *r = &out.r15;
    for (unsigned i = 0; i < 15; i++)
        if (is_host(r[i]))
            return true;
    for (unsigned k = 0; k < 4 && !compat; k++) { /* it stores no 64 bits by itself */
        const uint32_t *p = (uint32_t *)(void *)(data + k * 4096);
        for (unsigned i = 1; pt_data[k] & 0x40 && i < 1024; i += 2)
            if (p[i] - 0x5500 < 0x8000 - 0x5500 && p[i - 1] && p[i - 1] != 0x11111111)
                return true;
    }
    return false;
}

static void instructions(void)
{
    bool good = true, leak = false;
    for (unsigned i = 0; i < 4; i++)
        pt_data[i] |= 0x40;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < sizeof(ring3) / sizeof(ring3[0]); i++) {
            const struct code *c = &ring3[i];
            code_new();
            if (round == 2) /* what a fault leaves behind must not help */
                put(0x90);
            put_bytes(c->bytes, c->len);
            data_fresh();
            registers(DATA + 0x840);
            in.ax = round ? 231 : DATA + 0x840; /* exit_group(99) to Linux */
            in.di = round ? 99 : in.di;
            if (round)
                in.cx = in.dx = 1;
            if (c->want == 'N')
                in.di = DATA + 0x840;
            try();
            const bool at = out.ip == code_at + (round == 2), on = out.ip > code_at + c->len - 1;
            bool ok = c->want == 'S'   ? vector == V_SYSCALL
                      : c->want == 'G' ? vector == V_GP && at
                      : c->want == 'U' ? vector == V_UD && at
                      : c->want == 'E' ? (vector == V_UD || vector == V_GP) && at
                      : c->want == 'N' ? vector == V_GP && on
                                       : vector != V_TIMER;
            if (c->want == 'S' && vector == V_SYSCALL && c->bytes[1] == 5)
                ok = syscall_ip == code_at + 2 + (round == 2);
            if (!ok) {
                complain("instruction", i);
                good = false;
            }
            if (leaks()) {
                complain("a host's address from instruction", i);
                leak = true;
            }
        }
    report("privileged and foreign instructions only fault", good);
    report("and tell no host address", !leak);
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } mine;
    __asm__ volatile("sgdt %0" : "=m"(mine));
    code_new();
    put_bytes("\x0f\x01\x07", 3);
    registers(DATA + 0x840);
    try();
    report("SGDT is the guest's", !__builtin_memcmp(data + 0x840, &mine, 10));
    code_new();
    put_bytes("\xd9\xe8\xd9\x37", 4);
    registers(DATA + 0x840);
    try();
    uint32_t fip;
    __builtin_memcpy(&fip, data + 0x840 + 12, 4);
    report("the x87 instruction pointer is the guest's, or none", fip == (uint32_t)code_at || !fip);
}

/* ---- every opcode, and noise ---- */

static uint64_t hash;
static void fold(uint64_t v) { hash = (hash ^ v) * 0x9e3779b97f4a7c15 + (hash >> 29); }

static bool deterministic(void)
{
    if (vector == V_TIMER)
        return false;
    for (unsigned i = 0; i < code_used; i++) /* rdtsc, rdtscp, rdrand */
        if (code_alias[i] == 0x31 || code_alias[i] == 0xf9 || code_alias[i] == 0xc7)
            return false;
    return true;
}

static unsigned found_leaks;
static void one(bool tame)
{
    data_fresh();
    registers(DATA + 0x840);
    in.cx = 5;
    if (!tame)
        for (unsigned i = 0; i < 15; i++)
            (&in.r15)[i] = rnd() % 3
                               ? (uint64_t)(rnd() % 4 ? 0x7f : 0x55) << 40 | (uint64_t)rnd() << 8
                           : rnd() % 2 ? noncanonical[rnd() % 6]
                                       : (uint64_t)rnd() << 32 | rnd();
    in.flags |= rnd() & 0xcd5;
    if (!(rnd() % 16))
        in.flags ^= rnd() & 0x244000;
    if (!(rnd() % 64))
        in.flags |= 0x100; /* TF */
    try();
    if (tame && leaks() && ++found_leaks < 8) {
        complain("a host's address", code_at);
        for (unsigned i = 0; i < code_used; i++)
            print_hex(code_alias[i]);
        print("\n");
    }
    if (!deterministic())
        return;
    fold(vector << 32 | error);
    fold(out.ip);
    if (vector == V_PF)
        fold(cr2);
    if (vector != V_SYSCALL)
        for (unsigned i = 0; i < 15; i++)
            fold((&out.r15)[i]);
}

static void put_operand(uint32_t kind)
{
    uint32_t v = rnd();
    put((uint8_t)(kind == 0   ? v | 0xc0       /* registers */
                  : kind == 1 ? (v & 0x38) | 7 /* [rdi] */
                              : v));
    for (unsigned i = 0; i < 3; i++)
        put32(kind < 2 ? rnd() % 64 : rnd());
}

static void opcodes(void)
{
    hash = 0;
    static const uint8_t prefix[] = { 0, 0x66, 0xf2, 0xf3, 0x48, 0x64, 0x65, 0x67, 0xf0, 0x4f };
    for (unsigned m = 0; m < 4; m++)
        for (unsigned op = 0; op < 256; op++)
            for (unsigned p = 0; p < sizeof(prefix); p++)
                for (unsigned kind = 0; kind < 3; kind++) {
                    code_new();
                    if (prefix[p])
                        put(prefix[p]);
                    if (m)
                        put(0x0f);
                    if (m > 1)
                        put(m == 2 ? 0x38 : 0x3a);
                    put((uint8_t)op);
                    put_operand(kind);
                    one(kind < 2);
                }
    line("opcodes", hash);
    hash = 0;
    for (unsigned i = 0; i < 20000; i++) { /* VEX, EVEX, and what looks like them */
        uint32_t v = rnd();
        code_new();
        if (v & 3) {
            put(v & 1 ? 0xc4 : 0x62);
            put((uint8_t)((v >> 8 & 0xe0) | (1 + (v >> 16) % 3)));
            put((uint8_t)(v >> 24 | (v & 4 ? 0x78 : 0)));
            if (!(v & 1))
                put((uint8_t)rnd());
        } else {
            put(0xc5);
            put((uint8_t)(v >> 8));
        }
        put((uint8_t)rnd());
        put_operand(rnd() % 3);
        one(v & 8);
    }
    line("VEX and EVEX", hash);
    hash = 0;
    for (unsigned i = 0; i < 20000; i++) {
        code_new();
        for (unsigned n = 4 + rnd() % 40; n; n--)
            put((uint8_t)rnd());
        one(i & 1);
    }
    line("noise", hash);
    report(compat ? "the same of 32-bit code" : "every opcode and noise: still here", true);
    report("and no host address", !found_leaks);
}

/* ---- several accesses with the same base, at the edges of pages ---- */

static uint64_t memory_sum(void)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < 4; k++) {
        const uint64_t *p = (uint64_t *)(void *)(data + k * 4096);
        for (unsigned i = 0; pt_data[k] & 0x40 && i < 512; i++)
            sum = (sum << 7 | sum >> 57) ^ p[i];
    }
    return sum;
}

static void put_access(uint8_t op, unsigned reg, unsigned base, uint32_t disp)
{
    if (!compat && op & 1 && rnd() % 2)
        put(0x48);
    put(op);
    put((uint8_t)(0x80 | reg << 3 | base));
    if (base == 4)
        put(0x24);
    put32(disp);
}

/* Of the other forms: index, fixed address, segments and their bases. */
static void put_other(unsigned reg, unsigned base, uint32_t constant)
{
    const uint8_t op = rnd() % 2 ? 0x8b : 0x89, fs = (uint8_t)(0x64 + rnd() % 2);
    switch (rnd() % 5) {
    case 0: /* [base + index * scale + constant] */
        put(op);
        put((uint8_t)(0x84 | reg << 3));
        put((uint8_t)(rnd() % 3 << 6 | 5 << 3 | base)); /* rbp, which groups() makes small then */
        put32(rnd() % 40 - 20);
        break;
    case 1: /* a fixed address */
        put(op);
        put((uint8_t)(compat ? 5 | reg << 3 : 4 | reg << 3));
        if (!compat)
            put(0x25);
        put32((uint32_t)DATA + (rnd() % 5) * 4096 + rnd() % 32 - 16);
        break;
    case 2: /* by FS or GS and a base */
        put(fs);
        put_access(op, reg, 5, rnd() % 40 - 20);
        break;
    case 3: /* by FS or GS alone */
        put(fs);
        put(op);
        put((uint8_t)(compat ? 5 | reg << 3 : 4 | reg << 3));
        if (!compat)
            put(0x25);
        put32(rnd() % 40 - 20);
        break;
    default:
        if (compat || !bases_known) {
            put(0x81); /* add or sub base, constant */
            put((uint8_t)(0xc0 | base));
            put32(constant);
            break;
        }
        put(0xf3); /* wrfsbase or wrgsbase */
        put(0x48);
        put(0x0f);
        put(0xae);
        put((uint8_t)((rnd() % 2 ? 0xd0 : 0xd8) | base));
    }
}

static void put_step(void)
{
    static const uint8_t base_of[] = { 3, 3, 6, 7, 5, 4 },
                         op_of[] = { 0x8b, 0x8b, 0x89, 0x89, 0x88, 0x8a, 0x01, 0x03 };
    const unsigned base = base_of[rnd() % 6], reg = rnd() % 3;
    static const uint32_t far[] = {
        0x1000, 0xfffff000, 0x2000, 0xffffe000, 0x10, 0xfffffff0, 4, 8
    };
    const uint32_t constant = far[rnd() % 8];
    switch (rnd() % 16) {
    case 10:
    case 11:
    case 12:
    case 13: put_other(reg, base, constant); break;
    case 0: /* add or sub base, constant */
        if (!compat)
            put(0x48);
        put(0x81);
        put((uint8_t)((rnd() % 2 ? 0xc0 : 0xe8) | base));
        put32(constant);
        break;
    case 1: /* lea base, [other + constant] */
        if (!compat)
            put(0x48);
        put(0x8d);
        put((uint8_t)(0x80 | base_of[rnd() % 5] << 3 | 3));
        put32(constant);
        break;
    case 2: put((uint8_t)(0x50 | reg)); break;
    case 3: put((uint8_t)(0x58 | reg)); break;
    case 4: /* movups */
        put(0x0f);
        put_access(rnd() % 2 ? 0x10 : 0x11, reg, base, rnd() % 64);
        break;
    case 5: /* an access whose constant takes the last one back */
        put_access(op_of[rnd() % 8], reg, base, 0 - constant);
        break;
    default: put_access(op_of[rnd() % 8], reg, base, (rnd() % 40) - 20);
    }
}

static void groups(void)
{
    uint64_t sum = 0, done = 0;
    for (unsigned i = 0; i < 4; i++)
        pt_data[i] |= 0x40;
    for (unsigned i = 0; i < 16000; i++) {
        compat = i & 1;
        code_new();
        data_fresh();
        for (unsigned n = 3 + rnd() % 12; n; n--)
            put_step();
        registers(0x1234567890abcdef);
        uint64_t at = DATA + (rnd() % 5) * 4096 + (rnd() % 3 ? rnd() % 128 - 64 : rnd() % 4096);
        if (!(rnd() % 8))
            at = compat ? rnd() % 64 - 32u : 0x800000000000 - rnd() % 64;
        in.bx = in.si = in.di = in.bp = in.sp = at;
        if (rnd() % 2) /* an index, or an offset from a segment's base */
            in.bp = rnd() % 64 - 32;
        wrmsr(0xc0000100, DATA + (rnd() % 5) * 4096 + rnd() % 64 - 32);
        wrmsr(0xc0000101, DATA + (rnd() % 5) * 4096 + rnd() % 64 - 32);
        if (rnd() % 2)
            in.sp = DATA + 4096 + rnd() % 32 - 16;
        if (compat)
            for (unsigned k = 0; k < 15; k++)
                (&in.r15)[k] = (uint32_t)(&in.r15)[k] | (i % 8 == 1 ? 0x7f1234ul << 32 : 0);
        try();
        fold(vector << 32 | (out.ip - code_at));
        for (unsigned k = 0; k < 15; k++)
            fold((&out.r15)[k]);
        fold(out.sp);
        fold(vector == V_PF ? cr2 : 0);
        fold(memory_sum());
        done += vector == V_GP && out.ip == code_at + code_used;
        sum += vector;
    }
    compat = false;
    wrmsr(0xc0000100, 0);
    wrmsr(0xc0000101, 0);
    line("of them to the end", done);
    line("sum of the traps", sum);
    line("all", hash);
    report("accesses with the same base", hash == 0xdf5f7f2aa6394f9c || !bases_known);
}

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
