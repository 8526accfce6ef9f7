"""MNN: a small engine that is made for ARM processors. docs/decisions/0017 explains why this one."""
