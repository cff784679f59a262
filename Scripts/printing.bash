# What demonstrations print; sourced.

if [[ -t 1 ]]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
step() { echo; echo "$bold$*$plain"; }
show() { sed "s/^/  /"; }
# A command as it was run, quoted for a shell; a line for each option.
show_command() {
  local line='' word quoted
  for word; do
    # Only where it is needed.
    if [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then quoted=$word; else quoted="'${word//\'/\'\\\'\'}'"; fi
    if [[ -z $line ]]; then
      line=$quoted
    elif [[ $word == -* ]]; then
      line+=$' \\\n  '$quoted
    else
      line+=" $quoted"
    fi
  done
  echo "$line" | show
}
