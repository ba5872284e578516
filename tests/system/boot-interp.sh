#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The emulator boots 64- and 32-bit kernels like the translator, which the other tests use; and the translator's way on
# hosts without BMI2, and with and without the host's MMU for all user code.
. tests/system/boot.inc
boot cloud-amd64 test-amd64.img --soft interp
boot 686-pae test-i386.img --soft interp
boot cloud-amd64 test-amd64.img --soft translate,nobmi2
boot cloud-amd64 test-amd64.img --soft translate,window
boot cloud-amd64 test-amd64.img --soft translate,nowindow
