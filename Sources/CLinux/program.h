// What executes programs; shared by upgrade.c, way_back.c and children.c.
#ifndef CLINUX_PROGRAM_PRIVATE_H
#define CLINUX_PROGRAM_PRIVATE_H

#include <spawn.h>

/// What execve takes beside a path: this process's arguments, and its environment with another value of the upgrade
/// variable.
struct command {
  char **arguments;
  char **environment;
  /// The value, in the environment.
  char *upgrade;
};

/// Makes one, with room for so many more characters of the value; -ENOMEM leaves nothing to be freed.
int clinux_make_command(struct command *command, const char *upgrade, int room);
void clinux_free_command(struct command *command);

/// Starts a program in a child process in which no signal is blocked or ignored, and returns its process ID.
int clinux_spawn(const char *path, const posix_spawn_file_actions_t *actions, char **arguments,
                 char **environment, int has_own_group);

#endif
