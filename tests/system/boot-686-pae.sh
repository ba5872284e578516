#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
. tests/system/boot.inc
boot 686-pae test-i386.img
