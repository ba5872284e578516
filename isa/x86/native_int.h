/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by native*.c and xsave.c: the stub cache, the work area stubs address, what the tables
 * say. */
#ifndef ISA_X86_NATIVE_INT_H
#define ISA_X86_NATIVE_INT_H

#include "isa/x86/emu.h"
#include "isa/x86/native.h"

/* Offsets in the FXSAVE image. [SDM] vol. 1 "x87 State", "SSE State" (XSAVE legacy region) */
enum {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_FTW = 4,
    FX_FOP = 6,
    FX_FIP = 8,
    FX_FDP = 16,
    FX_MXCSR = 24,
    FX_MXCSR_MASK = 28,
    FX_ST = 32, /* 8 of 16 bytes */
    FX_XMM = 160,
    FX_SIZE = 512,
    XSAVE_HEADER = 512,
    XSAVE_EXTENDED = 576,
};

#define FCW_MASKS     BITS(5, 0)
#define FSW_IE        BIT(0)
#define FSW_SF        BIT(6)
#define FSW_ES        BIT(7)
#define FSW_TOP       BITS(13, 11)
#define FSW_B         BIT(15)
#define MXCSR_FLAGS   BITS(5, 0)
#define MXCSR_PRE     BITS(2, 0) /* IE, DE, ZE: found before the computation */
#define MXCSR_UE      BIT(4)
#define MXCSR_MASKS   BITS(12, 7)
#define MXCSR_UM      BIT(11)
#define MXCSR_FTZ     BIT(15)
#define MXCSR_RESET   0x1f80u
#define FCW_RESET     0x37fu
#define XCOMP_COMPACT BIT(63)

enum { NATIVE_COMPONENTS = 8, NATIVE_XSAVE_MAX = 4096 };

/* What stubs address relative to rsi. */
struct native_work {
    uint8_t mem[128]; /* the memory operand */
    uint8_t fx[FX_SIZE];
    uint64_t mm[8];
    uint64_t gpr, flags; /* results */
    uint64_t flags_in;   /* for FCMOVcc */
    uint32_t mxcsr_in, mxcsr_out, mxcsr_host;
    uint32_t pad[7];
    uint8_t undo[NATIVE_XSAVE_MAX]; /* state before an instruction that may have to be undone */
} __attribute__((aligned(64)));

/* rdi = the cpu, rsi = the work area. */
typedef void native_code(struct x86_cpu *cpu, struct native_work *w);

enum {
    STUB_FP = BIT(0),        /* uses MXCSR */
    STUB_FLAGS = BIT(1),     /* sets arithmetic flags */
    STUB_ALIGNED = BIT(2),   /* #GP unless the memory operand is aligned to its size */
    STUB_NO_SUPP = BIT(3),   /* masked, but without fault suppression */
    STUB_MASKED = BIT(4),    /* memory operand under a mask */
    STUB_BROADCAST = BIT(5), /* one memory value for all mask bits */
    STUB_SAE = BIT(7),       /* suppresses all exceptions, whatever MXCSR says */
    STUB_COMPLEX = BIT(8),   /* complex multiplication: two roundings */
    STUB_DOT = BIT(9),       /* dot product: several steps, each with its exceptions */
    STUB_PACKED = BIT(6),    /* compress, expand: elements in memory lie without gaps */
};

struct native_stub {
    uint64_t key[2];
    native_code *code; /* NULL: slot free */
    uint16_t flags;    /* STUB_* */
    uint8_t gpr;       /* general register written, or NATIVE_NO_GPR */
    uint8_t elem;      /* masked memory: element size in memory */
    uint8_t elems;     /* … and number of elements */
};
enum { NATIVE_NO_GPR = 0xff };

enum { NATIVE_STUBS = 4096, NATIVE_STUBS_MAX = 3072, NATIVE_STUB_BYTES = 512 };

struct native_component {
    uint32_t offset, size;
    bool align; /* to 64 bytes in the compacted format */
};

struct x86_native {
    struct native_work *work; /* behind this structure */
    uint8_t *code_rw, *code_rx;
    size_t size, used;
    uint64_t features; /* BIT(NATIVE_F_*) the host has */
    uint64_t xcr0;     /* components offered to guests */
    uint32_t mxcsr_mask, xsave_size;
    struct native_component component[NATIVE_COMPONENTS];
    unsigned stubs, flushes;
    struct native_stub stub[NATIVE_STUBS];
};

/* ---- native_table.c: facts about instructions ---- */

/* What an instruction needs of the host. The first group is one CPUID bit each. */
enum native_feature {
    NATIVE_F_SSE2,
    NATIVE_F_SSE3,
    NATIVE_F_SSSE3,
    NATIVE_F_SSE41,
    NATIVE_F_SSE42,
    NATIVE_F_AES,
    NATIVE_F_PCLMUL,
    NATIVE_F_SHA,
    NATIVE_F_GFNI,
    NATIVE_F_AVX,
    NATIVE_F_AVX2,
    NATIVE_F_FMA,
    NATIVE_F_F16C,
    NATIVE_F_VAES,
    NATIVE_F_VPCLMUL,
    NATIVE_F_AVXVNNI,
    NATIVE_F_AVX512, /* F, CD, BW, DQ, VL together */
    NATIVE_F_IFMA,
    NATIVE_F_VBMI,
    NATIVE_F_VBMI2,
    NATIVE_F_VNNI,
    NATIVE_F_BITALG,
    NATIVE_F_VPOPCNTDQ,
    NATIVE_F_BF16,
    NATIVE_F_FP16,
    NATIVE_F_VP2INTERSECT,
    /* Composed: */
    NATIVE_F_AVX_INT,    /* AVX; AVX2 if 256 bits wide */
    NATIVE_F_AVX_BCAST,  /* AVX; AVX2 from a register */
    NATIVE_F_AES_VAES,   /* VEX AES: AES; VAES if 256 bits wide */
    NATIVE_F_PCLMUL_VEX, /* PCLMUL; VPCLMUL if 256 bits wide */
    NATIVE_F_GFNI_AVX,
    NATIVE_F_VBMI_W0, /* AVX512; VBMI if W=0 */
};

enum {
    NATIVE_EL1 = 1, /* mask element size in memory */
    NATIVE_EL2,
    NATIVE_EL4,
    NATIVE_EL8,
    NATIVE_ELW,  /* 4, or 8 if W=1 */
    NATIVE_ELBW, /* 1, or 2 if W=1 */
    NATIVE_EL16,
    NATIVE_EL = 7,
    NATIVE_FP = 8,
    NATIVE_NF = 16,       /* no fault suppression */
    NATIVE_ALIGNED = 32,  /* alignment required */
    NATIVE_HALF = 64,     /* W=0: as many elements as the vector has of twice the size */
    NATIVE_QUARTER = 128, /* W=0: … of four times the size */
    NATIVE_SPREAD = 256,  /* one memory value spread over all elements */
};

struct native_row {
    uint8_t page, first, last, feature;
    uint16_t flags;
};
#define NATIVE_PAGE(enc, map, pp) ((enc) << 5 | (map) << 2 | (pp))

/* The row for a vector instruction, or NULL if it is not known or the host lacks it. */
const struct native_row *native_lookup(const struct x86_native *n, const struct x86_insn *insn);
uint64_t native_host_features(void);

/* ---- native_emit.c ---- */

/* The stub of an instruction, generated if need be; throws #UD if the host cannot run it. */
const struct native_stub *native_stub(struct x86_cpu *cpu, const struct x86_insn *insn);

/* ---- native_mask.c ---- */
void native_load_masked(struct x86_cpu *cpu, const struct x86_insn *insn,
                        const struct native_stub *st, uint64_t lin, unsigned size);
void native_store_masked(struct x86_cpu *cpu, const struct x86_insn *insn,
                         const struct native_stub *st, uint64_t lin, unsigned size);
x86_exec_fn *native_bind_mask(const struct x86_insn *insn);

/* ---- native_fpu.c, xsave.c ---- */
uint64_t native_mm_get(const struct x86_cpu *cpu, unsigned r);
/* What every MMX instruction but EMMS does to the x87 unit: TOP = 0, all registers valid. */
void native_mm_enter(struct x86_cpu *cpu);
x86_exec_fn *native_bind_fpu(const struct x86_insn *insn);
x86_exec_fn *native_bind_xsave(const struct x86_insn *insn);

/* ---- native.c ---- */

/* #UD and #NM of each class of instruction; MMX and x87 also #MF. */
void native_check_sse(struct x86_cpu *cpu);
void native_check_avx(struct x86_cpu *cpu);
void native_check_avx512(struct x86_cpu *cpu);
void native_check_mmx(struct x86_cpu *cpu);
/* Runs the stub; MXCSR's new value is returned, to be stored by native_commit() after the memory
 * operand. Throws #XM with all undone but MXCSR's flags. */
uint32_t native_run(struct x86_cpu *cpu, const struct native_stub *st);
void native_commit(struct x86_cpu *cpu, const struct native_stub *st, uint32_t mxcsr);

/* VCVTPH2PS, VCVTPS2PH: no alignment check. [SDM] vol. 2 "Exceptions Type 11 (VEX-only, Mem Arg, No
 * AC, Floating-point Exceptions)", "Exceptions Type E11" */
static inline bool native_is_half(const struct x86_insn *insn)
{
    return insn->enc != X86_ENC_LEGACY && insn->pp == 1 &&
           ((insn->map == X86_MAP_0F38 && insn->opcode == 0x13) ||
            (insn->map == X86_MAP_0F3A && insn->opcode == 0x1d));
}

/* Linear address of the memory operand of `size` bytes. */
static inline uint64_t native_linear(struct x86_cpu *cpu, const struct x86_insn *insn,
                                     unsigned size, enum x86_access access)
{
    uint64_t lin = x86_linear(cpu, insn->seg, x86_ea(cpu, insn), size, access);
    /* Operands of vector length are exempt from alignment checking. */
    if (unlikely(cpu->align_check) && x86_user(cpu) && size <= 10 && !insn->mask &&
        (lin & ((size == 10 ? 8 : size) - 1)) && x86_canonical(lin) && !native_is_half(insn))
        x86_fault_code(cpu, X86_ACV, 0);
    return lin;
}

/* The alignment check of what is not loaded or stored as a value: n is what the processor checks.
 */
static inline void native_check_align(struct x86_cpu *cpu, uint64_t lin, unsigned n)
{
    if (unlikely(cpu->align_check && x86_user(cpu) && lin & (n - 1)))
        x86_fault_code(cpu, X86_ACV, 0);
}

/* native_linear() has made the alignment check, so what is not aligned with one in force is exempt
 * from it. */
static inline bool native_is_value(const struct x86_cpu *cpu, uint64_t lin, unsigned size)
{
    return (size == 8 || size == 4 || size == 2) && !(cpu->align_check && lin & (size - 1));
}

/* x86_load_bytes for operands of 4 to 64 bytes in one page that is in the TLB. */
static inline void native_load(struct x86_cpu *cpu, unsigned seg, uint64_t lin, void *buf,
                               unsigned size)
{
    struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, x86_user(cpu));
    if (likely(e->r == ((lin + size - 1) >> 12))) {
        const void *p = (const void *)(uintptr_t)(lin + e->addend);
        switch (size) {
        case 4: __builtin_memcpy(buf, p, 4); return;
        case 8: __builtin_memcpy(buf, p, 8); return;
        case 16: __builtin_memcpy(buf, p, 16); return;
        case 32: __builtin_memcpy(buf, p, 32); return;
        case 64: __builtin_memcpy(buf, p, 64); return;
        }
    }
    if (native_is_value(cpu, lin, size))
        le_put(buf, x86_load_slow(cpu, seg, lin, size, x86_user(cpu)), size);
    else
        x86_load_bytes(cpu, seg, lin, buf, size, x86_user(cpu));
}
static inline void native_store(struct x86_cpu *cpu, unsigned seg, uint64_t lin, const void *buf,
                                unsigned size)
{
    struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, x86_user(cpu));
    if (likely(e->w == ((lin + size - 1) >> 12))) {
        void *p = (void *)(uintptr_t)(lin + e->addend);
        switch (size) {
        case 4: __builtin_memcpy(p, buf, 4); return;
        case 8: __builtin_memcpy(p, buf, 8); return;
        case 16: __builtin_memcpy(p, buf, 16); return;
        case 32: __builtin_memcpy(p, buf, 32); return;
        case 64: __builtin_memcpy(p, buf, 64); return;
        }
    }
    if (native_is_value(cpu, lin, size))
        x86_store_slow(cpu, seg, lin, le_get(buf, size), size, x86_user(cpu));
    else
        x86_store_bytes(cpu, seg, lin, buf, size, x86_user(cpu));
}

static inline uint32_t native_mxcsr(const struct x86_cpu *cpu)
{
    return le32(cpu->xsave + FX_MXCSR);
}

/* Guest vector registers as bytes: the three parts of register r. */
void native_vec_get(const struct x86_cpu *cpu, unsigned r, uint8_t v[64]);
/* Writes `size` (16, 32, 64) bytes and clears the rest of the register. */
void native_vec_set(struct x86_cpu *cpu, unsigned r, const uint8_t *v, unsigned size);
uint64_t native_mask_get(const struct x86_cpu *cpu, unsigned k);
void native_mask_set(struct x86_cpu *cpu, unsigned k, uint64_t v);

#endif
