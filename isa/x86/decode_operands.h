/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of operands in the opcode tables: location letter and size, as in [SDM] vol. 2 appendix A.
 */
#ifndef ISA_X86_DECODE_OPERANDS_H
#define ISA_X86_DECODE_OPERANDS_H

#include "isa/x86/decode.h"

/* clang-format off */
enum {
    Eb = S(E, b), Ew = S(E, w), Ev = S(E, v), Ey = S(E, y), Ed = S(E, d), Eq = S(E, q), Erw = S(E, rw),
    Ezw = S(E, zw), Edz = S(E, z), Edb = S(E, db), Edw = S(E, dw),
    Rd = S(R, d), Rv = S(R, v), Ry = S(R, y), Rw = S(R, w),
    Gb = S(G, b), Gw = S(G, w), Gv = S(G, v), Gy = S(G, y), Gd = S(G, d), Gq = S(G, q), Gz = S(G, z),
    Mn = S(M, n), Mb = S(M, b), Mw = S(M, w), Md = S(M, d), Mq = S(M, q), Mt = S(M, t), Mo = S(M, o), Myy = S(M, yy),
    Mzz = S(M, zz), Mfx = S(M, fx), Mv = S(M, v), My = S(M, y), Mp = S(M, p), Ma = S(M, a), Ms = S(M, s),
    Mx = S(M, x), Mh = S(M, h), Menv = S(M, env), Msav = S(M, sav), Me = S(M, e),
    Sw = S(S, w), Cv = S(C, v), Dv = S(D, v),
    Zb = S(Z, b), Zv = S(Z, v), AL = S(A, b), AX = S(A, w), rAX = S(A, v), eAX = S(A, z), CL = S(CL, b), DX = S(DX, w),
    ES = S(ES, w), CS = S(CS, w), SS = S(SS, w), DS = S(DS, w), FS = S(FS, w), GS = S(GS, w),
    ST0 = S(ST0, t), STi = S(STI, t), One = S(ONE, b),
    Ob = S(O, b), Ov = S(O, v),
    Ib = S(IB, b), Ibs = S(IBS, v), Iz = S(IZ, v), Iv = S(IV, v), Iw = S(IW, w), Ib2 = S(IB2, b), Ap = S(AP, p),
    Jb = S(JB, v), Jz = S(JZ, v),

    Pq = S(P, q), Qq = S(Q, q), Qd = S(Q, d), Nq = S(N, q),
    Vx = S(V, x), Vo = S(V, o), Vy = S(V, yy), Vz = S(V, zz), Vh = S(V, h), Vhh = S(V, hh), Vhhh = S(V, hhh),
    Hx = S(H, x), Ho = S(H, o), Hy = S(H, yy), Hz = S(H, zz), Hh = S(H, h),
    Wx = S(W, x), Wo = S(W, o), Wy = S(W, yy), Wh = S(W, h), Whh = S(W, hh), Whhh = S(W, hhh), Wz = S(W, zz),
    Wb = S(W, b), Ww = S(W, w), Wd = S(W, d), Wq = S(W, q), We = S(W, e), Wdup = S(W, dup),
    Ux = S(U, x), Uo = S(U, o), Uh = S(U, h), Lx = S(L, x), Lo = S(L, o),
    Kq = S(K, q), KEb = S(KE, b), KEw = S(KE, w), KEd = S(KE, d), KEq = S(KE, q), KU = S(KU, q), KH = S(KH, q),
    By = S(B, y), MVd = S(MV, d), MVq = S(MV, q), MVe = S(MV, e), MVn = S(MV, n),
};
/* clang-format on */

#endif
