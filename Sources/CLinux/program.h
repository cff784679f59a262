// What executes programs; shared by upgrade.c and way_back.c.
#ifndef CLINUX_PROGRAM_PRIVATE_H
#define CLINUX_PROGRAM_PRIVATE_H

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

#endif
