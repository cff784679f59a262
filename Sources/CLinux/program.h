// What executes programs; shared by upgrade.c and way_back.c.
#ifndef CLINUX_PROGRAM_PRIVATE_H
#define CLINUX_PROGRAM_PRIVATE_H

/// This process's arguments for execve; NULL without memory. The list is the caller's.
char **clinux_own_arguments(void);
/// The environment with another value of the upgrade variable, which is the last one; NULL without memory.
char **clinux_environment_with(const char *upgrade);

#endif
