#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The translator boots 64- and 32-bit kernels like the emulator.
. tests/system/boot.inc
boot cloud-amd64 test-amd64.img --soft translate
boot 686-pae test-i386.img --soft translate
