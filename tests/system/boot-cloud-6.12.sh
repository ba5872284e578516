#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
. tests/system/boot.inc
boot cloud-6.12 test-amd64.img
