/* SPDX-License-Identifier: BSD-2-Clause */
/* The hostile program: privileged and foreign instructions, every opcode with every kind of
 * operand, noise. */
#include "guest/hostile_user.h"

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

void instructions(void)
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

void opcodes(void)
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
