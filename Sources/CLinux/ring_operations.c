#define _GNU_SOURCE
#include "ring_operations.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_ring_control(int descriptor, unsigned opcode, const void *argument, unsigned count) {
  const long result = syscall(SYS_io_uring_register, descriptor, opcode, argument, count);
  return result < 0 ? -errno : (int)result;
}

int clinux_ring_knows_operations(int descriptor) {
  static const uint8_t needed[] = {IORING_OP_NOP, IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
                                   IORING_OP_FALLOCATE};
  enum { asked = 64 };
  struct io_uring_probe *answer =
      calloc(1, sizeof *answer + asked * sizeof(struct io_uring_probe_op));
  if (!answer) return 0;
  int knows = clinux_ring_control(descriptor, IORING_REGISTER_PROBE, answer, asked) >= 0;
  for (size_t i = 0; knows && i < sizeof needed; i++)
    knows = needed[i] < answer->ops_len && answer->ops[needed[i]].flags & IO_URING_OP_SUPPORTED;
  free(answer);
  return knows;
}

int clinux_ring_restrict(int descriptor) {
  struct io_uring_restriction rules[] = {
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP},
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
      {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FALLOCATE},
      {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_EVENTFD},
      {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_EVENTFD},
  };
  const unsigned count = sizeof rules / sizeof *rules;
  const int result = clinux_ring_control(descriptor, IORING_REGISTER_RESTRICTIONS, rules, count);
  return result < 0 ? result : clinux_ring_control(descriptor, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
