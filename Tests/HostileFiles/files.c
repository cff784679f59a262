#define _GNU_SOURCE
#include "HostileFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct hostile_file_system {
  int device;
  pthread_t thread;
  atomic_int is_frozen, unanswered, is_aborted;
  char folder[256];
};

enum { FILE_SIZE = 1 << 20, FILE_NODE = 2 };

static void answer(int device, uint64_t unique, int error, const void *data, size_t size) {
  char bytes[sizeof(struct fuse_out_header) + 256];
  struct fuse_out_header header = {(uint32_t)(sizeof header + size), error, unique};
  memcpy(bytes, &header, sizeof header);
  if (size > 0) memcpy(bytes + sizeof header, data, size);
  if (write(device, bytes, header.len) < 0) return;
}

static struct fuse_attr attributes(uint64_t node) {
  return (struct fuse_attr){
      .ino = node,
      .size = node == FILE_NODE ? FILE_SIZE : 0,
      .mode = node == FILE_NODE ? S_IFREG | 0666 : S_IFDIR | 0755,
      .nlink = 1,
      .blksize = 4096,
  };
}

// Nothing is kept by the kernel: it asks each time.
static void serve(struct hostile_file_system *files, const struct fuse_in_header *request) {
  switch (request->opcode) {
    case FUSE_INIT: {
      struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096};
      return answer(files->device, request->unique, 0, &out, sizeof out);
    }
    case FUSE_LOOKUP: {
      struct fuse_entry_out out = {.nodeid = FILE_NODE, .attr = attributes(FILE_NODE)};
      return answer(files->device, request->unique, 0, &out, sizeof out);
    }
    case FUSE_GETATTR: {
      struct fuse_attr_out out = {.attr = attributes(request->nodeid)};
      return answer(files->device, request->unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN: {
      struct fuse_open_out out = {.fh = 1};
      return answer(files->device, request->unique, 0, &out, sizeof out);
    }
    case FUSE_FLUSH:
    case FUSE_RELEASE: return answer(files->device, request->unique, 0, NULL, 0);
    default: return answer(files->device, request->unique, -ENOSYS, NULL, 0);
  }
}

static void *run(void *context) {
  struct hostile_file_system *files = context;
  static _Thread_local char bytes[1 << 17];
  while (!atomic_load(&files->is_aborted)) {
    const ssize_t count = read(files->device, bytes, sizeof bytes);
    if (count < 0 && (errno == EINTR || errno == ENOENT)) continue;
    if (count < (ssize_t)sizeof(struct fuse_in_header)) break;
    const struct fuse_in_header *request = (const struct fuse_in_header *)bytes;
    if (request->opcode == FUSE_FORGET || request->opcode == FUSE_BATCH_FORGET) continue;
    if (atomic_load(&files->is_frozen)) atomic_fetch_add(&files->unanswered, 1);
    else serve(files, request);
  }
  return NULL;
}

struct hostile_file_system *hostile_mount(const char *folder) {
  struct hostile_file_system *files = calloc(1, sizeof *files);
  if (files == NULL) return NULL;
  snprintf(files->folder, sizeof files->folder, "%s", folder);
  files->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d", files->device,
           (int)getuid(), (int)getgid());
  if (files->device < 0 || mount("hostile", folder, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
    if (files->device >= 0) close(files->device);
    free(files);
    return NULL;
  }
  pthread_create(&files->thread, NULL, run, files);
  return files;
}

int hostile_open(const char *path) { return open(path, O_RDWR | O_CLOEXEC); }

void hostile_freeze(struct hostile_file_system *files) { atomic_store(&files->is_frozen, 1); }

int hostile_unanswered(const struct hostile_file_system *files) {
  return atomic_load(&files->unanswered);
}

void hostile_abort(struct hostile_file_system *files) {
  if (atomic_exchange(&files->is_aborted, 1)) return;
  umount2(files->folder, MNT_FORCE);
  umount2(files->folder, MNT_DETACH);
}

void hostile_unmount(struct hostile_file_system *files) {
  hostile_abort(files);
  pthread_join(files->thread, NULL);
  close(files->device);
  free(files);
}
