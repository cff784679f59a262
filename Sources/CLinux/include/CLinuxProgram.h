// The command line of the process; the rules at the top of CLinux.h hold here too.
#ifndef CLINUX_PROGRAM_H
#define CLINUX_PROGRAM_H

#ifdef __cplusplus
extern "C" {
#endif

/// Arguments that the process was started with, its own name included; 0 where the C library does not tell.
int clinux_argument_count(void);
/// One of them, as the bytes that it was given as; NULL when there is none. It stays.
const char *clinux_argument(int index);

#ifdef __cplusplus
}
#endif
#endif
