# The symbol graphs of the built library modules; sourced.

# modules: the libraries of Package.swift, in its order.
mapfile -t modules < <(sed -n 's/^ *\.library(name: "\([^"]*\)".*/\1/p' Package.swift)

# symbol_graph MODULE FOLDER [OPTION...]: writes the public symbols of a module of the debug build; fails with what the
# compiler said on standard error.
symbol_graph() {
  local build=.build/debug folder map includes said
  includes=(-I "$build/Modules")
  for folder in .build/checkouts/*/Sources/*/include; do includes+=(-I "$folder"); done
  for map in "$build"/*.build/module.modulemap Sources/CLibNBD/module.modulemap; do includes+=(-Xcc "-fmodule-map-file=$map"); done
  said=$(swift symbolgraph-extract -module-name "$1" "${includes[@]}" -target "$(uname -m)-unknown-linux-gnu" \
    -output-dir "$2" -minimum-access-level public -skip-synthesized-members "${@:3}" 2>&1) || {
    echo "$said" >&2
    return 1
  }
}
