#define _GNU_SOURCE
#include "CLinuxUpgrade.h"

#include "CLinuxProgram.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// MARK: Interruption

static void do_nothing(int number) { (void)number; }

static void install_interruption(void) {
  struct sigaction action = {.sa_handler = do_nothing};
  sigemptyset(&action.sa_mask);
  // SIGURG: nothing here uses out-of-band data, and a process without the handler ignores it. No SA_RESTART.
  sigaction(SIGURG, &action, NULL);
}

int clinux_allow_interruption(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install_interruption);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGURG);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  return gettid();
}

int clinux_interrupt_thread(int thread) {
  return syscall(SYS_tgkill, getpid(), thread, SIGURG) < 0 ? -errno : 0;
}

// MARK: Descriptors

int clinux_keep_on_exec(int descriptor) { return fcntl(descriptor, F_SETFD, 0) < 0 ? -errno : 0; }

int clinux_file_key_of(int descriptor, struct clinux_file_key *key) {
  struct stat info;
  if (fstat(descriptor, &info) < 0) return -errno;
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  *key = (struct clinux_file_key){info.st_dev, info.st_ino, flags & O_ACCMODE};
  return 0;
}

int clinux_seal_all(int descriptor) {
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  return fcntl(descriptor, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

// MARK: Programs

int clinux_program_path(char *path, size_t size) {
  const ssize_t length = readlink("/proc/self/exe", path, size);
  if (length < 0) return -errno;
  if ((size_t)length >= size) return -ENAMETOOLONG;
  path[length] = 0;
  return (int)length;
}

int clinux_open_own_program(void) {
  const int image = open("/proc/self/exe", O_PATH | O_CLOEXEC);
  return image < 0 ? -errno : image;
}

int clinux_copy_program(int descriptor) {
  struct stat info;
  if (fstat(descriptor, &info) < 0) return -errno;
  if (!S_ISREG(info.st_mode)) return -ENOEXEC;
#ifdef MFD_EXEC
  const unsigned executable = MFD_EXEC;
#else
  const unsigned executable = 0x10;
#endif
  int copy = memfd_create("vfio-user", MFD_CLOEXEC | MFD_ALLOW_SEALING | executable);
  // Before Linux 6.3 there is no such flag, and every memory file can be executed.
  if (copy < 0 && errno == EINVAL) copy = memfd_create("vfio-user", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (copy < 0) return -errno;
  char piece[1 << 16];
  for (off_t place = 0;;) {
    const ssize_t got = pread(descriptor, piece, sizeof piece, place);
    if (got == 0 && clinux_seal_all(copy) == 0) return copy;
    if (got > 0 && pwrite(copy, piece, (size_t)got, place) == got) {
      place += got;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    // Less was written than was read: there is no memory.
    const int code = got > 0 ? ENOMEM : errno;
    close(copy);
    return -code;
  }
}

int clinux_can_execute(const char *path) {
  struct stat info;
  if (stat(path, &info) < 0) return -errno;
  if (!S_ISREG(info.st_mode)) return -EACCES;
  return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int clinux_make_command(struct command *command, const char *upgrade, int room) {
  static const char name[] = CLINUX_UPGRADE_VARIABLE "=";
  const int argument_count = clinux_argument_count();
  size_t count = 0;
  while (environ[count] != NULL) count++;
  char *variable = calloc(sizeof name + strlen(upgrade) + (size_t)room, 1);
  *command = (struct command){
      .arguments = calloc((size_t)argument_count + 1, sizeof(char *)),
      .environment = calloc(count + 2, sizeof(char *)),
      .upgrade = variable == NULL ? NULL : variable + sizeof name - 1,
  };
  if (command->arguments == NULL || command->environment == NULL || variable == NULL) {
    clinux_free_command(command);
    return -ENOMEM;
  }
  for (int i = 0; i < argument_count; i++) command->arguments[i] = (char *)clinux_argument(i);
  strcat(strcpy(variable, name), upgrade);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (strncmp(environ[i], name, sizeof name - 1) != 0) command->environment[kept++] = environ[i];
  command->environment[kept] = variable;
  return 0;
}

void clinux_free_command(struct command *command) {
  if (command->upgrade != NULL) free(command->upgrade - (sizeof CLINUX_UPGRADE_VARIABLE "=" - 1));
  free(command->arguments);
  free(command->environment);
}

int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0; }

int clinux_spawn(const char *path, const posix_spawn_file_actions_t *actions, char **arguments,
                 char **environment, int has_own_group) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  const int group = has_own_group ? POSIX_SPAWN_SETPGROUP : 0;
  posix_spawnattr_setflags(&attributes,
                           (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
  pid_t child = 0;
  const int code = posix_spawn(&child, path, actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  return code == 0 ? child : -code;
}

int clinux_start_trial(const char *path, const char *upgrade, int inherited, int output) {
  struct command command;
  if (clinux_make_command(&command, upgrade, 0) < 0) return -ENOMEM;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, output, 2);
  // A duplicate of itself: it stays open in the child only.
  posix_spawn_file_actions_adddup2(&actions, inherited, inherited);
  // A group of its own: what the child starts is ended with it.
  const int child = clinux_spawn(path, &actions, command.arguments, command.environment, 1);
  posix_spawn_file_actions_destroy(&actions);
  clinux_free_command(&command);
  return child;
}

int clinux_child_ended(int child, int *status) {
  const pid_t ended = waitpid(child, status, WNOHANG);
  if (ended < 0) return errno == EINTR ? 0 : -errno;
  return ended == child;
}

void clinux_kill_child(int child) {
  kill(-child, SIGKILL);
  kill(child, SIGKILL);
  int status;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
}

int clinux_exit_code(int status) {
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static sigset_t main_mask;
static int has_main_mask;

void clinux_keep_signal_mask(void) {
  pthread_sigmask(SIG_SETMASK, NULL, &main_mask);
  has_main_mask = 1;
}

int clinux_execute(const char *path, const char *upgrade) {
  struct command command;
  if (clinux_make_command(&command, upgrade, 0) < 0) return -ENOMEM;
  sigset_t before;
  // Signals that are blocked wait for the new program; all others would have to be unblocked by it.
  if (has_main_mask) pthread_sigmask(SIG_SETMASK, &main_mask, &before);
  execve(path, command.arguments, command.environment);
  const int code = errno;
  if (has_main_mask) pthread_sigmask(SIG_SETMASK, &before, NULL);
  clinux_free_command(&command);
  return -code;
}
