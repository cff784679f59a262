// The command line of the process; the rules at the top of CLinux.h apply here too.
#ifndef CLINUX_PROGRAM_H
#define CLINUX_PROGRAM_H

#ifdef __cplusplus
extern "C" {
#endif

/// Number of arguments of the process, its own name included; 0 if the C library does not pass
/// them.
int clinux_argument_count(void);
/// One argument as raw bytes, valid until the process ends; NULL if there is none.
const char *clinux_argument(int index);

#ifdef __cplusplus
}
#endif
#endif
