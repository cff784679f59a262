extension Program {
  /// The version of this package.
  ///
  /// It is written here and nowhere else: the manual, the packages and `Scripts/check-version` take it from this file.
  package static let libraryVersion = "0.9.0"
}
