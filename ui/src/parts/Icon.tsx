/** Small drawings in the colour of the text. They say nothing to a screen reader: what they are on has a label. */

const SHAPES = {
  waves: { box: "0 0 20 14", width: 20, path: "M1 4c3-4 6 4 9 0s6 4 9 0" },
  sun: {
    path: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  },
  moon: { path: "M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3" },
  halved: { path: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 2v12M11 3.4v9.2M9.5 2.4v11.2" },
  copy: { path: "M6 5.5h7.5V14H6zM10 5V2H2.5v8.5h3" },
  check: { path: "M2.5 8.5 6.5 12.5 13.5 4" },
  cross: { path: "M4 4l8 8M12 4l-8 8" },
  up: { path: "M8 13V3.5M4 7.5l4-4 4 4" },
} as const;

export type IconName = keyof typeof SHAPES;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  const shape: { path: string; box?: string; width?: number } = SHAPES[name];
  return (
    <svg
      className="icon"
      width={shape.width ?? size}
      height={name === "waves" ? 14 : size}
      viewBox={shape.box ?? "0 0 16 16"}
      fill="none"
      stroke="currentColor"
      strokeWidth={name === "waves" ? 1.8 : 1.4}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={shape.path} />
      {name === "waves" && <path d="M1 10c3-4 6 4 9 0s6 4 9 0" opacity=".45" />}
    </svg>
  );
}
