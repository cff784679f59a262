#include "CLinux.h"

#include <stddef.h>

static int count;
static char *const *arguments;

#ifdef __GLIBC__
// glibc passes the arguments of main to constructors. Swift's CommandLine reads /proc/self/cmdline
// instead, which may be missing in a sandbox: then it is empty, without an error.
__attribute__((constructor)) static void note_arguments(int argument_count, char **values) {
  count = argument_count;
  arguments = values;
}
#endif

int clinux_argument_count(void) { return count; }

const char *clinux_argument(int index) {
  return index >= 0 && index < count ? arguments[index] : NULL;
}
