#include "CLinux.h"

#include <stddef.h>

static int count;
static char *const *arguments;

#ifdef __GLIBC__
// glibc hands a constructor what it hands main. Swift's CommandLine reads /proc/self/cmdline instead, which a
// sandbox may not have: then it is empty, and nobody hears of it.
__attribute__((constructor)) static void note_arguments(int argument_count, char **values) {
  count = argument_count;
  arguments = values;
}
#endif

int clinux_argument_count(void) { return count; }

const char *clinux_argument(int index) {
  return index >= 0 && index < count ? arguments[index] : NULL;
}
