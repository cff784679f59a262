#define _GNU_SOURCE
#include "CLinuxSandbox.h"

#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

// A process in a sandbox cannot remove its sockets: the right to remove a file is one to remove everything in its folder.
// So a process that was forked before does it. It knows its files from the start, and takes nothing but their numbers.

enum { SETTLE = 255, PATIENCE = 5 };

struct request {
  uint32_t task, index;
};

/// A file as the broker has seen it at the start.
struct seen {
  dev_t device;
  ino_t inode;
  int is_there;
};

// MARK: The broker

static struct seen look(const char *path) {
  struct stat info;
  if (lstat(path, &info) < 0) return (struct seen){0};
  return (struct seen){info.st_dev, info.st_ino, 1};
}

static int remove_same(const char *path, const struct seen *before) {
  const struct seen now = look(path);
  if (!before->is_there || !now.is_there || now.device != before->device ||
      now.inode != before->inode)
    return -ENOENT;
  return unlink(path) < 0 ? -errno : 0;
}

/// - Returns: a descriptor. Opening a FIFO or a terminal would wait.
static int open_file(const char *path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return -errno;
  struct stat info;
  if (fstat(file, &info) == 0 && S_ISREG(info.st_mode)) return file;
  close(file);
  return -EACCES;
}

static int answer(int connection, int result, int file) {
  const struct clinux_slice content = {&result, sizeof result};
  const long sent = clinux_send(connection, &content, 1, &file, file >= 0, 1);
  if (file >= 0) close(file);
  return sent < 0 ? (int)sent : 0;
}

static int serve_one(int connection, const struct clinux_broker_file *files, struct seen *seen,
                     unsigned count) {
  struct request request;
  const ssize_t got = recv(connection, &request, sizeof request, 0);
  if (got < 0 && errno == EINTR) return 0;
  // The other end is gone, or is no longer what it was.
  if (got != sizeof request) return -EPIPE;
  if (request.task == SETTLE) {
    for (unsigned i = 0; i < count; i++)
      if (files[i].task == CLINUX_BROKER_DISCARD) seen[i].is_there = 0;
    return answer(connection, 0, -1);
  }
  if (request.index >= count) return answer(connection, -EINVAL, -1);
  const struct clinux_broker_file *file = &files[request.index];
  if (file->task != CLINUX_BROKER_OPEN)
    return answer(connection, remove_same(file->path, &seen[request.index]), -1);
  const int opened = open_file(file->path);
  return answer(connection, opened < 0 ? opened : 0, opened);
}

static void run(int connection, const struct clinux_broker_file *files, unsigned count) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  prctl(PR_SET_NAME, "vfio-user-brk", 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Nobody waits for the end of a pipe or a connection because of this process.
  if (connection > 0) syscall(SYS_close_range, 0u, (unsigned)connection - 1, 0u);
  syscall(SYS_close_range, (unsigned)connection + 1, ~0u, 0u);
  struct seen *seen = calloc(count > 0 ? count : 1, sizeof *seen);
  if (seen == NULL) _exit(1);
  for (unsigned i = 0; i < count; i++) seen[i] = look(files[i].path);
  while (serve_one(connection, files, seen, count) == 0) continue;
  _exit(0);
}

int clinux_broker_start(const struct clinux_broker_file *files, unsigned count) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
  const pid_t process = fork();
  if (process == 0) run(ends[1], files, count);
  const int code = errno;
  close(ends[1]);
  if (process > 0) return ends[0];
  close(ends[0]);
  return -code;
}

// MARK: The process in the sandbox

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
  int connection;
  const struct clinux_broker_file *files;
  unsigned count;
} broker = {.connection = -1};

void clinux_broker_use(int connection, const struct clinux_broker_file *files, unsigned count) {
  const struct timeval patience = {.tv_sec = PATIENCE};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  pthread_mutex_lock(&lock);
  broker.connection = connection;
  broker.files = files;
  broker.count = count;
  pthread_mutex_unlock(&lock);
}

/// After a question without an answer the next answer would be the one to that: there are no more questions. The number
/// of the connection stays taken, because the next version of the program is told it.
static int give_up(int code) {
  shutdown(broker.connection, SHUT_RDWR);
  broker.connection = -1;
  return -code;
}

/// - Returns: what the broker has answered, or the descriptor that came with it.
static int ask(struct request request) {
  int result = -EPIPE, files[CLINUX_MAX_DESCRIPTORS];
  const struct clinux_slice question = {&request, sizeof request}, content = {&result, sizeof result};
  const long sent = clinux_send(broker.connection, &question, 1, NULL, 0, 1);
  if (sent != sizeof request) return give_up(sent < 0 ? (int)-sent : EPIPE);
  const struct clinux_received got = clinux_receive(broker.connection, &content, 1, files, 1);
  if (got.count != sizeof result) return give_up(got.count < 0 ? (int)-got.count : EPIPE);
  return result < 0 || got.descriptors == 0 ? result : files[0];
}

static int ask_about(const char *path, int opens) {
  int result = -ENOENT;
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < broker.count && broker.connection >= 0; i++) {
    if ((broker.files[i].task == CLINUX_BROKER_OPEN) != opens || strcmp(broker.files[i].path, path) != 0)
      continue;
    result = ask((struct request){0, i});
    break;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

int clinux_broker_remove(const char *path) { return ask_about(path, 0); }

int clinux_broker_open(const char *path) { return ask_about(path, 1); }

void clinux_broker_settle(void) {
  pthread_mutex_lock(&lock);
  if (broker.connection >= 0) ask((struct request){SETTLE, 0});
  pthread_mutex_unlock(&lock);
}
