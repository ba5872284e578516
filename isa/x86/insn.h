/* SPDX-License-Identifier: BSD-2-Clause */
/* One decoded x86 instruction, and the decoder's promise. [SDM] vol. 2 "Instruction Format". */
#ifndef ISA_X86_INSN_H
#define ISA_X86_INSN_H

#include "isa/x86/regs.h"

struct x86_cpu;
struct x86_insn;
typedef void x86_exec_fn(struct x86_cpu *cpu, const struct x86_insn *insn);

/*
 * Operations. Integer and system instructions have one each; what runs on the host's own unit is
 * only told apart by what the emulator must do for it (X86_OP_FPU and the rest of X86_OPS_NATIVE).
 */
/* clang-format off */
#define X86_OPS_INTEGER(_)                                                                         \
    _(ADD) _(OR) _(ADC) _(SBB) _(AND) _(SUB) _(XOR) _(CMP) _(INC) _(DEC) _(NOT) _(NEG) _(TEST)     \
    _(MOV) _(XCHG) _(LEA) _(MOVZX) _(MOVSX) _(MOVBE) _(BSWAP) _(CMOVCC) _(SETCC) _(MOVNTI)         \
    _(JCC) _(JMP) _(JMP_IND) _(JMP_FAR) _(CALL) _(CALL_IND) _(CALL_FAR) _(RET) _(RET_FAR)          \
    _(LOOP) _(LOOPE) _(LOOPNE) _(JCXZ) _(PUSH) _(POP) _(PUSHA) _(POPA) _(PUSHF) _(POPF)            \
    _(PUSH_SEG) _(POP_SEG) _(ENTER) _(LEAVE) _(ROL) _(ROR) _(RCL) _(RCR) _(SHL) _(SHR) _(SAR)      \
    _(SHLD) _(SHRD) _(MUL) _(IMUL1) _(IMUL2) _(IMUL3) _(DIV) _(IDIV) _(BT) _(BTS) _(BTR) _(BTC)    \
    _(BSF) _(BSR) _(TZCNT) _(LZCNT) _(POPCNT) _(CRC32) _(ADCX) _(ADOX) _(ANDN) _(BEXTR) _(BLSI)    \
    _(BLSMSK) _(BLSR) _(BZHI) _(MULX) _(PDEP) _(PEXT) _(RORX) _(SARX) _(SHLX) _(SHRX) _(CBW)       \
    _(CWD) _(AAA) _(AAS) _(AAM) _(AAD) _(DAA) _(DAS) _(SALC) _(XLAT) _(LAHF) _(SAHF) _(CLC)        \
    _(STC) _(CMC) _(CLD) _(STD) _(CMPXCHG) _(CMPXCHG8B) _(CMPXCHG16B) _(XADD) _(MOVS) _(CMPS)      \
    _(STOS) _(LODS) _(SCAS) _(NOP) _(PAUSE) _(FENCE) _(PREFETCH) _(CLFLUSH) _(RDRAND) _(RDSEED)    \
    _(MOVDIRI) _(MOVDIR64B) _(ENDBR)
/* clang-format on */

/* clang-format off */
#define X86_OPS_SYSTEM(_)                                                                          \
    _(CLI) _(STI) _(INS) _(OUTS) _(IN) _(OUT) _(INT) _(INT1) _(INT3) _(INTO) _(IRET) _(HLT)        \
    _(UD) _(SYSCALL) _(SYSRET) _(SYSENTER) _(SYSEXIT) _(MOV_FROM_SEG) _(MOV_TO_SEG)                \
    _(MOV_FROM_CR) _(MOV_TO_CR) _(MOV_FROM_DR) _(MOV_TO_DR) _(LOAD_FAR_PTR) _(ARPL) _(BOUND)       \
    _(LAR) _(LSL) _(VERR) _(VERW) _(SGDT) _(SIDT) _(LGDT) _(LIDT) _(SLDT) _(STR) _(LLDT) _(LTR)    \
    _(SMSW) _(LMSW) _(CLTS) _(INVD) _(WBINVD) _(INVLPG) _(INVPCID) _(RDMSR) _(WRMSR) _(RDTSC)      \
    _(RDTSCP) _(RDPMC) _(CPUID) _(XGETBV) _(XSETBV) _(SWAPGS) _(RDFSBASE) _(RDGSBASE)              \
    _(WRFSBASE) _(WRGSBASE) _(RDPID) _(CLAC) _(STAC) _(MONITOR) _(MWAIT) _(VMX_SVM) _(RSM)         \
    _(XBEGIN) _(XEND) _(XABORT) _(XTEST) _(SERIALIZE) _(UNSUPPORTED)
/* clang-format on */

/* VMX_SVM: VMCALL, VMMCALL, VMRUN, …: all #UD for a guest without nesting. UNSUPPORTED: decoded,
 * but belongs to an extension we never offer (PKU, CET, AMX, SGX, UINTR, …): #UD. FPU: x87 but
 * FWAIT. FPU_CTL: x87 that does not wait (FNINIT, FNSTSW, …). MMX: uses MM registers. SSE:
 * legacy-encoded SSE*. AVX: VEX. AVX512: EVEX and mask-register VEX. *_MASKMOV, GATHER, SCATTER:
 * several or partly suppressed memory accesses. */
/* clang-format off */
#define X86_OPS_NATIVE(_)                                                                          \
    _(FPU) _(FPU_CTL) _(FPU_ENV) _(FWAIT) _(MMX) _(EMMS) _(SSE) _(AVX) _(AVX512) _(MASKMOV)        \
    _(VMASKMOV) _(GATHER) _(SCATTER) _(FXSAVE) _(FXRSTOR) _(XSAVE) _(XSAVEOPT) _(XSAVEC)           \
    _(XSAVES) _(XRSTOR) _(XRSTORS) _(LDMXCSR) _(STMXCSR) _(VZERO)
/* clang-format on */

enum x86_op {
    X86_OP_INVALID, /* undefined encoding: #UD */
#define X86_OP_ENUM_(name) X86_OP_##name,
    X86_OPS_INTEGER(X86_OP_ENUM_) X86_OPS_SYSTEM(X86_OP_ENUM_) X86_OPS_NATIVE(X86_OP_ENUM_)
#undef X86_OP_ENUM_
        X86_OP_COUNT
};

/* Base and index register numbers beyond r15; they index x86_cpu.reg[]. */
enum { X86_REG_RIP = 16, X86_REG_NONE = 17 };

enum x86_operand_kind {
    X86_OPERAND_NONE,
    X86_OPERAND_GPR,   /* reg 0..15 */
    X86_OPERAND_GPR8H, /* reg 0..3: ah ch dh bh */
    X86_OPERAND_SEG,
    X86_OPERAND_CR,
    X86_OPERAND_DR,
    X86_OPERAND_MEM, /* the instruction's one memory operand; also moffs (then disp is the 64-bit
                        offset) */
    X86_OPERAND_IMM, /* insn->imm (or imm2), already extended to the operand size as the instruction
                        does */
    X86_OPERAND_REL, /* branch displacement in insn->imm, sign-extended */
    X86_OPERAND_FAR, /* far pointer: offset insn->imm, selector insn->imm2 */
    X86_OPERAND_ST,
    X86_OPERAND_MM,
    X86_OPERAND_VEC,  /* VEC: xmm, ymm, zmm by size 16, 32, 64 */
    X86_OPERAND_MASK, /* k0..k7 */
};

enum {
    X86_ACC_R = 1,
    X86_ACC_W = 2,
    X86_ACC_RW = 3,
    X86_ACC_COND = 4 /* with W: may not be written */
};

/* Explicit operand, in Intel order. size in bytes; 0 if only known at run time (XSAVE area) or none
 * (LEA, INVLPG, prefetch). */
struct x86_operand {
    uint8_t kind : 4, access : 4, reg;
    uint16_t size;
};

enum { X86_MAX_OPERANDS = 4 };
enum { X86_ENC_LEGACY, X86_ENC_VEX, X86_ENC_EVEX };
enum { X86_MAP_1BYTE, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A, X86_MAP_5 = 5, X86_MAP_6 = 6 };

/* One cache line, as there are millions of them; what most need to execute are whole bytes. */
struct x86_insn {
    x86_exec_fn *exec; /* set by x86_bind(), not by the decoder */
    uint64_t imm;      /* immediate, branch displacement or far offset */
    union {
        int64_t disp;  /* address displacement, sign-extended; moffs: the whole offset
                        * (zero-extended) */
        uint16_t imm2; /* second immediate: far selector, ENTER level, EXTRQ; never with a memory
                        * operand */
    };
    uint8_t len;       /* bytes, 1..15 */
    uint8_t osz, asz;  /* effective operand size (2, 4, 8) and address size (2, 4, 8) */
    uint8_t stack : 4; /* 64-bit mode: 8; else 0 (SS.B decides at run time) */
    uint8_t mode : 4;  /* the mode it was decoded for: 2, 4, 8 bytes of code (16-, 32-, 64-bit) */
    uint8_t seg; /* effective segment of the memory operand (enum x86_sreg), overrides applied;
                  * string instructions: that of the rSI operand */
    uint8_t base,
        index;     /* 0..15, X86_REG_RIP, X86_REG_NONE; VSIB: index is the vector register 0..31 */
    uint8_t scale; /* shift 0..3 */
    struct x86_operand operand[X86_MAX_OPERANDS];
    uint16_t op;        /* enum x86_op */
    uint16_t vl : 7;    /* vector length in bytes 16, 32, 64 (VEX/EVEX, after rounding), else 0 */
    uint16_t flags : 3; /* X86_INSN_* */
    uint16_t mem : 3;   /* 1 + index of the MEM operand in operand[], 0 if none */
    uint16_t operands : 3; /* number of explicit operands */
    uint8_t rep;           /* 0, 0xf2 or 0xf3: last repeat prefix seen, also when mandatory */
    uint8_t modrm, sib, opcode;
    uint8_t rex : 7;  /* REX byte or 0; for VEX/EVEX the equivalent 0x40|WRXB bits, un-inverted */
    uint8_t lock : 1; /* LOCK prefix present (and legal: an illegal one decodes to
                       * X86_OP_INVALID) */
    uint8_t vvvv : 5; /* VEX/EVEX: 0..31, un-inverted */
    uint8_t mask : 3; /* EVEX aaa */
    uint8_t evex : 4; /* EVEX bits: 1 = b (broadcast/rounding/SAE), 2 = z, 4 = R', 8 = X as
                       * register bit 4 */
    uint8_t ll : 2;  /* VEX.L, EVEX.L'L as encoded (EVEX.b of a register form: the rounding mode) */
    uint8_t pp : 2;  /* mandatory prefix 0..3 (none, 66, F3, F2): VEX/EVEX as encoded; legacy: the
                      * prefix that would count as mandatory, i.e. F3/F2 (the last), else 66, else
                      * none */
    uint8_t enc : 2; /* X86_ENC_* */
    uint8_t map : 3, has_modrm : 1, has_sib : 1;
    uint8_t cc : 4;         /* condition code 0..15 of Jcc, SETcc, CMOVcc */
    uint8_t prefix_len : 4; /* bytes before the REX/VEX/EVEX/escape/opcode: the legacy prefixes */
    uint8_t opcode_off : 4; /* offset of the (last) opcode byte from the instruction's first byte */
    uint8_t modrm_off : 4, disp_off : 4, disp_len : 4; /* disp_len as stored: 0, 1, 2, 4, 8 */
    uint8_t imm_off : 4, imm_len : 4;
};

_Static_assert(sizeof(struct x86_insn) == 64, "one cache line");

enum {
    X86_INSN_ENDS_BLOCK =
        BIT(0), /* control transfer, or may change mode, privilege, paging, IF or code */
    X86_INSN_VSIB = BIT(1),
    X86_INSN_PRIVILEGED = BIT(2), /* #GP unless CPL 0, whatever else */
};

enum x86_decode_status { X86_DECODE_OK, X86_DECODE_SHORT = -1, X86_DECODE_TOO_LONG = -2 };

/*
 * Decodes one instruction of a mode (bytes of code size: 2, 4 or 8) at code[0..avail). Allocates
 * nothing, has no state. Reads at most MIN(avail, 15) bytes. An undefined encoding is OK with op
 * X86_OP_INVALID and its length as far as known. SHORT: `avail` bytes (< 15) are not enough.
 * TOO_LONG: over 15 bytes (#GP).
 */
WARN_UNUSED int x86_decode(struct x86_insn *insn, const uint8_t *code, unsigned avail,
                           unsigned mode);

/* Arithmetic flags (X86_AFLAGS bits, plus X86_DF) that an instruction reads, may write, and always
 * writes: for flag liveness. Undefined flags count as written. Conservative for what it cannot tell
 * (shift by CL reads and may write). */
struct x86_flags_use {
    uint32_t read, may_write, must_write;
};
struct x86_flags_use x86_flags_use(const struct x86_insn *insn);
/* The flags needed before an instruction if `need` are behind it. */
uint32_t x86_flags_before(const struct x86_insn *insn, uint32_t need);

extern const char *const x86_op_name[X86_OP_COUNT]; /* "ADD", … */

#endif
