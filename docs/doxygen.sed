s/\([0-9]\)'\([0-9]\)/\1\2/g
/^extern template/,/;/s/.*//
