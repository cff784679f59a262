#include "HostileFiles.h"

#include <malloc.h>

size_t hostile_allocated_bytes(void) {
  const struct mallinfo2 all = mallinfo2();
  return all.uordblks + all.hblkhd;
}
