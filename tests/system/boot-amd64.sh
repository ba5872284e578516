#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
. tests/system/boot.inc
boot amd64 test-amd64.img
