/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of the x86 architectural registers' fields. [SDM] vol. 3A "System Architecture Overview",
 * vol. 4. */
#ifndef ISA_X86_REGS_H
#define ISA_X86_REGS_H

#include "lib/bits.h"

enum x86_gpr {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI,
    X86_R8,
    X86_R15 = 15
};

enum x86_sreg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_SREG_COUNT };

/* RFLAGS */
#define X86_CF   BIT(0)
#define X86_F1   BIT(1) /* always one */
#define X86_PF   BIT(2)
#define X86_AF   BIT(4)
#define X86_ZF   BIT(6)
#define X86_SF   BIT(7)
#define X86_TF   BIT(8)
#define X86_IF   BIT(9)
#define X86_DF   BIT(10)
#define X86_OF   BIT(11)
#define X86_IOPL BITS(13, 12)
#define X86_NT   BIT(14)
#define X86_RF   BIT(16)
#define X86_VM   BIT(17)
#define X86_AC   BIT(18)
#define X86_VIF  BIT(19)
#define X86_VIP  BIT(20)
#define X86_ID   BIT(21)
#define X86_AFLAGS                                                                                 \
    (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF) /* the arithmetic flags                  \
                                                           */
#define X86_FLAGS_DEFINED                                                                          \
    (X86_AFLAGS | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_RF | X86_VM | X86_AC |        \
     X86_VIF | X86_VIP | X86_ID)

/* CR0 */
#define X86_CR0_PE BIT(0)
#define X86_CR0_MP BIT(1)
#define X86_CR0_EM BIT(2)
#define X86_CR0_TS BIT(3)
#define X86_CR0_ET BIT(4)
#define X86_CR0_NE BIT(5)
#define X86_CR0_WP BIT(16)
#define X86_CR0_AM BIT(18)
#define X86_CR0_NW BIT(29)
#define X86_CR0_CD BIT(30)
#define X86_CR0_PG BIT(31)

/* CR3 */
#define X86_CR3_PCID    BITS(11, 0)
#define X86_CR3_NOFLUSH BIT(63)

/* CR4 */
#define X86_CR4_VME        BIT(0)
#define X86_CR4_PVI        BIT(1)
#define X86_CR4_TSD        BIT(2)
#define X86_CR4_DE         BIT(3)
#define X86_CR4_PSE        BIT(4)
#define X86_CR4_PAE        BIT(5)
#define X86_CR4_MCE        BIT(6)
#define X86_CR4_PGE        BIT(7)
#define X86_CR4_PCE        BIT(8)
#define X86_CR4_OSFXSR     BIT(9)
#define X86_CR4_OSXMMEXCPT BIT(10)
#define X86_CR4_UMIP       BIT(11)
#define X86_CR4_LA57       BIT(12)
#define X86_CR4_VMXE       BIT(13)
#define X86_CR4_FSGSBASE   BIT(16)
#define X86_CR4_PCIDE      BIT(17)
#define X86_CR4_OSXSAVE    BIT(18)
#define X86_CR4_SMEP       BIT(20)
#define X86_CR4_SMAP       BIT(21)
#define X86_CR4_PKE        BIT(22)

/* EFER */
#define X86_EFER_SCE BIT(0)
#define X86_EFER_LME BIT(8)
#define X86_EFER_LMA BIT(10)
#define X86_EFER_NXE BIT(11)

/* XCR0 */
#define X86_XCR0_X87       BIT(0)
#define X86_XCR0_SSE       BIT(1)
#define X86_XCR0_AVX       BIT(2)
#define X86_XCR0_OPMASK    BIT(5)
#define X86_XCR0_ZMM_HI256 BIT(6)
#define X86_XCR0_HI16_ZMM  BIT(7)
#define X86_XCR0_AVX512    (X86_XCR0_OPMASK | X86_XCR0_ZMM_HI256 | X86_XCR0_HI16_ZMM)

/* Exception vectors */
enum x86_vector {
    X86_DE,
    X86_DB,
    X86_NMI,
    X86_BP,
    X86_OFV,
    X86_BR,
    X86_UD,
    X86_NM,
    X86_DF_VEC,
    X86_TS = 10,
    X86_NP,
    X86_SS_VEC,
    X86_GP,
    X86_PFV,
    X86_MF = 16,
    X86_ACV,
    X86_MC,
    X86_XM,
};

/* Page-fault error code, and the access kind passed to the page walk */
#define X86_PF_P    BIT(0)
#define X86_PF_W    BIT(1)
#define X86_PF_U    BIT(2)
#define X86_PF_RSVD BIT(3)
#define X86_PF_I    BIT(4)

/* Page-table entry */
#define X86_PTE_P  BIT(0)
#define X86_PTE_W  BIT(1)
#define X86_PTE_U  BIT(2)
#define X86_PTE_A  BIT(5)
#define X86_PTE_D  BIT(6)
#define X86_PTE_PS BIT(7)
#define X86_PTE_G  BIT(8)
#define X86_PTE_NX BIT(63)

/* Segment attributes: bits 8..23 of the descriptor's second dword, shifted to bit 0 (the VMX
 * access-rights format), plus "unusable". [SDM] vol. 3C "Guest Register State" */
#define X86_SEG_TYPE     BITS(3, 0)
#define X86_SEG_ACCESSED BIT(0)
#define X86_SEG_W        BIT(1) /* data: writable; code: readable */
#define X86_SEG_E        BIT(2) /* data: expand-down; code: conforming */
#define X86_SEG_CODE     BIT(3)
#define X86_SEG_S        BIT(4) /* code or data, not system */
#define X86_SEG_DPL      BITS(6, 5)
#define X86_SEG_P        BIT(7)
#define X86_SEG_AVL      BIT(12)
#define X86_SEG_L        BIT(13)
#define X86_SEG_DB       BIT(14)
#define X86_SEG_G        BIT(15)
#define X86_SEG_UNUSABLE BIT(16)

/* MSRs. [SDM] vol. 4 "Architectural MSRs" */
enum x86_msr {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_SPEC_CTRL = 0x48,
    MSR_PRED_CMD = 0x49,
    MSR_UCODE_WRITE = 0x79,
    MSR_UCODE_REV = 0x8b,
    MSR_MTRRCAP = 0xfe,
    MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_FLUSH_CMD = 0x10b,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_MCG_CTL = 0x17b,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_PHYSBASE0 = 0x200,
    MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K_80000 = 0x258,
    MSR_MTRR_FIX16K_A0000 = 0x259,
    MSR_MTRR_FIX4K_C0000 = 0x268,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_MC0_CTL = 0x400,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC_FIRST = 0x800,
    MSR_X2APIC_LAST = 0x8ff,
};
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

#define X86_APIC_BASE_BSP    BIT(8)
#define X86_APIC_BASE_X2APIC BIT(10)
#define X86_APIC_BASE_ENABLE BIT(11)

#endif
