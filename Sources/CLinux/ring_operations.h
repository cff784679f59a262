// What a ring may be asked for; for ring.c only.
#ifndef CLINUX_RING_OPERATIONS_H
#define CLINUX_RING_OPERATIONS_H

/// io_uring_register(2): its result, or -errno.
int clinux_ring_control(int descriptor, unsigned opcode, const void *argument, unsigned count);
/// Whether the kernel supports all operations used here.
int clinux_ring_knows_operations(int descriptor);
/// From here on the ring does nothing else, whoever has it: what a process may not call, it could have asked a ring for.
/// -EINVAL before Linux 5.10, which does not know restrictions.
int clinux_ring_restrict(int descriptor);

#endif
