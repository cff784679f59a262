# Puts files in place and keeps a list of them, for Scripts/install: `root`, `prefix` and `list` are set there.

fail() {
  echo "install: $*" >&2
  exit 1
}

# Starts a new list; the one of an earlier version says which folders were made then.
begin_list() {
  files=() folders=() earlier=()
  if [[ -e $root$list ]]; then mapfile -t earlier < "$root$list"; fi
  for line in "${earlier[@]}"; do
    if [[ $line == */ ]]; then folders+=("$line"); fi
  done
}

# Makes a folder and those above it, and remembers which were missing.
make_folder() {
  [[ -d $root$1 || $1 == / ]] && return
  make_folder "$(dirname "$1")"
  mkdir -m 755 "$root$1"
  folders+=("$1/")
}

# put MODE SOURCE PLACE
put() {
  make_folder "$(dirname "$3")"
  # A new file under the name of the old one: whoever runs that keeps it.
  install -T -m "$1" "$2" "$root$3.new"
  mv -fT "$root$3.new" "$root$3"
  files+=("$3")
}

# Writes the list: lines beside what was put.
write_list() {
  make_folder "$(dirname "$list")"
  printf '%s\n' "${files[@]}" "$list" "${folders[@]}" "$@" > "$root$list.new"
  mv -f "$root$list.new" "$root$list"
}

# What was put before a failure can be removed, and what the earlier version has put.
keep_list() { ((${#files[@]} == 0)) || write_list "${earlier[@]}"; }

end_list() {
  write_list
  for line in "${earlier[@]}"; do
    if [[ $line != */ ]] && ! grep -qxF -- "$line" "$root$list"; then rm -f -- "$root$line"; fi
  done
}

# Removes the files of the list, and the folders that were made for them and are empty now.
remove_listed() {
  [[ -e $root$list ]] || fail "there is no $root$list: nothing was installed with this PREFIX and DESTDIR"
  local lines line
  mapfile -t lines < "$root$list"
  for line in "${lines[@]}"; do
    if [[ $line != */ ]]; then rm -f -- "$root$line"; fi
  done
  printf '%s\n' "${lines[@]}" | grep '/$' | sort -ru | while read -r line; do
    rmdir --ignore-fail-on-non-empty -- "$root$line" 2> /dev/null || true
  done
}
