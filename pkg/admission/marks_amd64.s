#include "textflag.h"

// EACH marks 16 bytes. What it finds goes to the bits from shift on of R8 to R11.
#define EACH(shift) \
	MOVOU    shift(SI), X0; \
	MOVOA    X0, X1; \
	PCMPEQB  X4, X1; \
	PMOVMSKB X1, AX; \
	SHLQ     $shift, AX; \
	ORQ      AX, R8; \
	MOVOA    X0, X1; \
	PCMPEQB  X5, X1; \
	PMOVMSKB X1, AX; \
	SHLQ     $shift, AX; \
	ORQ      AX, R9; \
	MOVOA    X0, X1; \
	POR      X6, X1; \
	PCMPEQB  X7, X1; \
	PMOVMSKB X1, AX; \
	SHLQ     $shift, AX; \
	ORQ      AX, R10; \
	PSLLW    $5, X0; \
	PMOVMSKB X0, AX; \
	SHLQ     $shift, AX; \
	ORQ      AX, R11

// FILL puts a byte into all places of a register.
#define FILL(bytes, to) \
	MOVQ       $bytes, AX; \
	MOVQ       AX, to; \
	PUNPCKLQDQ to, to

// func mark(b *[64]byte, m *marks)
TEXT ·mark(SB), NOSPLIT, $0-16
	MOVQ b+0(FP), SI
	MOVQ m+8(FP), DI
	FILL(0x2222222222222222, X4) // "
	FILL(0x5c5c5c5c5c5c5c5c, X5) // \
	FILL(0x2626262626262626, X6)
	FILL(0x7f7f7f7f7f7f7f7f, X7)
	XORQ R8, R8
	XORQ R9, R9
	XORQ R10, R10
	XORQ R11, R11
	EACH(0)
	EACH(16)
	EACH(32)
	EACH(48)
	MOVQ R8, 0(DI)
	MOVQ R9, 8(DI)
	MOVQ R10, 16(DI)
	MOVQ R11, 24(DI)
	RET
