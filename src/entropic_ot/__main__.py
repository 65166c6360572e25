from entropic_ot.cli import main

raise SystemExit(main())
